"""Transformers as people write them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    """Self-attention over [batch, length, features]: sdpa, matmul, einsum, or torch's module."""

    def __init__(self, features, heads, how, causal=False):
        super().__init__()
        self.heads, self.how, self.causal = heads, how, causal
        if how == "module":
            self.attention = nn.MultiheadAttention(features, heads, batch_first=True)
        else:
            self.qkv, self.proj = nn.Linear(features, 3 * features), nn.Linear(features, features)

    def forward(self, x):
        if self.how == "module":
            return self.attention(x, x, x, need_weights=False)[0]
        n, length, features = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.heads, features // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scale = (features // self.heads) ** -0.5
        if self.how == "sdpa":
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        elif self.how == "einsum":
            scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * scale
            y = torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v)
        else:
            scores = (q * scale) @ k.transpose(-2, -1)
            y = scores.softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(n, length, features))


class Block(nn.Module):
    """A transformer's layer with the norms first."""

    def __init__(self, features, heads, how, hidden=None, causal=False):
        super().__init__()
        hidden = hidden or 4 * features
        self.ln_1, self.ln_2 = nn.LayerNorm(features), nn.LayerNorm(features)
        self.attention = Attention(features, heads, how, causal)
        self.mlp = nn.Sequential(
            nn.Linear(features, hidden),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(hidden, features),
        )

    def forward(self, x):
        x = x + self.attention(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class ViT(nn.Module):
    """ViT-B/16 by default."""

    def __init__(
        self,
        how,
        features=768,
        heads=12,
        layers=12,
        *,
        classes=1000,
        image=224,
        patch=16,
        hidden=None,
    ):
        super().__init__()
        self.conv_proj = nn.Conv2d(3, features, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, features))
        self.position = nn.Parameter(torch.zeros(1, (image // patch) ** 2 + 1, features))
        self.layers = nn.Sequential(*(Block(features, heads, how, hidden) for _ in range(layers)))
        self.ln, self.head = nn.LayerNorm(features), nn.Linear(features, classes)

    def forward(self, x):
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.ln(self.layers(x))[:, 0])


class GPT(nn.Module):
    """GPT-2 small by default: causal, with the embedding's weights at the end again."""

    def __init__(self, vocabulary=50257, length=1024, features=768, heads=12, layers=12):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, features), nn.Embedding(length, features)
        self.blocks = nn.ModuleList(CausalBlock(features, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(features)
        self.lm_head = nn.Linear(features, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.lm_head(self.ln_f(x))


class CausalBlock(nn.Module):
    def __init__(self, features, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(features), nn.LayerNorm(features)
        self.c_attn, self.c_proj = nn.Linear(features, 3 * features), nn.Linear(features, features)
        self.c_fc, self.c_out = nn.Linear(features, 4 * features), nn.Linear(4 * features, features)

    def forward(self, x):
        n, length, features = x.shape
        q, k, v = (
            part.view(n, length, self.heads, -1).transpose(1, 2)
            for part in self.c_attn(self.ln_1(x)).split(features, 2)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(n, length, features))
        return x + self.c_out(functional.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


def on_meta(make):
    """Return a module in inference mode, without weights."""
    with torch.device("meta"):
        return make().eval()
