"""Recurrences of a graph as PyTorch runs them: layers, and cells where there is one token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["recurrence"]


def recurrence(nn: Any, into: tuple[int, ...], attributes: Mapping[str, Any]) -> Any:
    """Make a module of ``torch.nn``, for [batch, tokens, features]; of one token, a cell."""
    several = attributes["bidirectional"] or attributes["projection"]
    if into[1] == attributes["layers"] == 1 and not several:
        return _cell(nn, into[-1], attributes)
    layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[attributes["cell"]]
    projection = {"proj_size": attributes["projection"]} if attributes["projection"] else {}
    made = layer(
        into[-1],
        attributes["hidden"],
        attributes["layers"],
        bias=attributes["bias"],
        batch_first=True,
        bidirectional=attributes["bidirectional"],
        **projection,
    )
    made.register_forward_pre_hook(_of_a_layer)
    made.register_forward_hook(lambda module, inputs, outputs: outputs[0])  # not the last state
    return made


def _cell(nn: Any, features: int, attributes: Mapping[str, Any]) -> Any:
    """Make one step, as a loop over tokens calls it."""
    cell = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}[attributes["cell"]]
    made = cell(features, attributes["hidden"], bias=attributes["bias"])
    made.register_forward_pre_hook(_of_a_cell)
    is_lstm = attributes["cell"] == "lstm"
    made.register_forward_hook(lambda *args: (args[2][0] if is_lstm else args[2]).unsqueeze(1))
    return made


def _of_a_cell(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of one step: the token and, where they are given, the states."""
    token, *states = inputs
    shaped = [state.reshape(token.shape[0], module.hidden_size) for state in states]
    return (token.squeeze(1), *_states(shaped))


def _of_a_layer(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of a recurrence, with its states of the shape that PyTorch wants."""
    x, *states = inputs
    count = module.num_layers * (1 + module.bidirectional)
    return (x, *_states([state.reshape(count, x.shape[0], -1) for state in states]))


def _states(states: list[Any]) -> list[Any]:
    """Return the states as one argument, an LSTM's both in a tuple; none where there are none."""
    return [tuple(states)] if len(states) > 1 else states
