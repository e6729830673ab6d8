"""The zoo's language models as torch modules, with the layer names of transformers.

Written from the papers; `layers` is there for exports, which take long.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def named(**modules):
    """A module that only holds others."""
    return nn.ModuleDict(modules)


def split(x, heads):
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def join(x):
    return x.transpose(1, 2).contiguous().view(x.shape[0], x.shape[2], -1)


class BertLayer(nn.Module):
    def __init__(self, features=768, hidden=3072):
        super().__init__()
        parts = {n: nn.Linear(features, features) for n in ("query", "key", "value")}
        after = named(dense=nn.Linear(features, features), LayerNorm=nn.LayerNorm(features))
        self.attention = nn.ModuleDict({"self": named(**parts), "output": after})
        self.intermediate = named(dense=nn.Linear(features, hidden), intermediate_act_fn=nn.GELU())
        self.output = named(dense=nn.Linear(hidden, features), LayerNorm=nn.LayerNorm(features))

    def forward(self, x):
        q, k, v = (split(layer(x), 12) for layer in self.attention["self"].values())
        y = join(functional.scaled_dot_product_attention(q, k, v))
        out = self.attention["output"]
        x = out["LayerNorm"](out["dense"](y) + x)
        y = self.intermediate["intermediate_act_fn"](self.intermediate["dense"](x))
        return self.output["LayerNorm"](self.output["dense"](y) + x)


class Bert(nn.Module):
    """BERT-base with its pooler."""

    def __init__(self, layers=12, features=768):
        super().__init__()
        self.embeddings = named(
            word_embeddings=nn.Embedding(30522, features),
            token_type_embeddings=nn.Embedding(2, features),
            position_embeddings=nn.Embedding(512, features),
            LayerNorm=nn.LayerNorm(features),
        )
        self.encoder = named(layer=nn.ModuleList(BertLayer() for _ in range(layers)))
        self.pooler = named(dense=nn.Linear(features, features), tanh=nn.Tanh())

    def forward(self, input_ids, token_type_ids):
        words, types, places, norm = self.embeddings.values()
        x = words(input_ids) + types(token_type_ids)
        x = norm(x + places(torch.arange(input_ids.shape[1], device=input_ids.device)[None]))
        for layer in self.encoder["layer"]:
            x = layer(x)
        return self.pooler["tanh"](self.pooler["dense"](x[:, 0]))


class T5Norm(nn.RMSNorm):
    def __init__(self):
        super().__init__(512, eps=1e-6)


class T5Attention(nn.Module):
    """Without a scale; the first of a stack has the bias that all of it add."""

    def __init__(self, biased=False):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(512, 512, bias=False) for _ in range(4))
        if biased:
            self.relative_attention_bias = nn.Embedding(32, 8)

    def bias(self, length, device):
        """A number for each distance; the buckets are as far apart as they come."""
        place = torch.arange(length, device=device)
        buckets = (place[:, None] - place[None]).abs().clamp(max=31)
        return self.relative_attention_bias(buckets).permute(2, 0, 1).unsqueeze(0)

    def forward(self, x, keys, bias):
        q, k, v = split(self.q(x), 8), split(self.k(keys), 8), split(self.v(keys), 8)
        scores = torch.matmul(q, k.transpose(2, 3))
        if bias is not None:
            scores = scores + bias
        return self.o(join(torch.matmul(scores.softmax(-1), v)))


class T5Block(nn.Module):
    def __init__(self, first, decodes):
        super().__init__()
        layers = [named(SelfAttention=T5Attention(first), layer_norm=T5Norm())]
        if decodes:
            layers.append(named(EncDecAttention=T5Attention(), layer_norm=T5Norm()))
        dense = {"wi": nn.Linear(512, 2048, bias=False), "act": nn.ReLU()}
        dense["wo"] = nn.Linear(2048, 512, bias=False)
        layers.append(named(DenseReluDense=named(**dense), layer_norm=T5Norm()))
        self.layer = nn.ModuleList(layers)

    def forward(self, x, encoded, bias):
        own = self.layer[0]
        y = own["layer_norm"](x)
        x = x + own["SelfAttention"](y, y, bias)
        if encoded is not None:
            other = self.layer[1]
            x = x + other["EncDecAttention"](other["layer_norm"](x), encoded, None)
        last = self.layer[-1]
        wi, act, wo = last["DenseReluDense"].values()
        return x + wo(act(wi(last["layer_norm"](x))))


class T5Stack(nn.Module):
    def __init__(self, layers, decodes):
        super().__init__()
        self.block = nn.ModuleList(T5Block(i == 0, decodes) for i in range(layers))
        self.final_layer_norm = T5Norm()

    def forward(self, x, encoded=None):
        bias = self.block[0].layer[0]["SelfAttention"].bias(x.shape[1], x.device)
        for block in self.block:
            x = block(x, encoded, bias)
        return self.final_layer_norm(x)


class T5(nn.Module):
    """T5-small: one table for both sides and the head."""

    def __init__(self, layers=6):
        super().__init__()
        self.shared = nn.Embedding(32128, 512)
        self.encoder, self.decoder = T5Stack(layers, False), T5Stack(layers, True)

    def forward(self, input_ids, decoder_input_ids):
        encoded = self.encoder(self.shared(input_ids))
        x = self.decoder(self.shared(decoder_input_ids), encoded) * 512**-0.5
        return functional.linear(x, self.shared.weight)
