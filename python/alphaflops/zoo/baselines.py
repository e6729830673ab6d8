"""Networks without convolution or attention: a perceptron of three layers, an LSTM.

LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998 (LeNet-300-100);
Zaremba et al., "Recurrent Neural Network Regularization", 2014 (the medium language model).
"""

from __future__ import annotations

from alphaflops._core import Graph

PIXELS = 784  # of a digit, 28 x 28
LENGTH = 35
_VOCABULARY, _FEATURES = 10_000, 650


def mlp(graph: Graph, x: int) -> int:
    """Add LeNet-300-100 behind the digits `x` [batch, 784]; return the logits."""
    for i, features in enumerate((300, 100)):
        x = graph.relu(graph.linear(x, features, True, str(2 * i)), str(2 * i + 1))
    return graph.linear(x, 10, True, "4")


def lstm(graph: Graph, tokens: int) -> int:
    """Add the medium LSTM behind the `tokens` [batch, 35]; return the logits of every position."""
    x = graph.embedding(tokens, _VOCABULARY, _FEATURES, "encoder")
    x = graph.recurrent(x, "lstm", _FEATURES, layers=2, name="rnn")
    return graph.linear(x, _VOCABULARY, True, "decoder")
