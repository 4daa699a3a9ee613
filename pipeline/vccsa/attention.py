"""Attention as the two VC-CSA models need it: few queries over many rows, fused where no weights are asked for.

`nn.MultiheadAttention` serves as the holder of the parameters (and so of the checkpoint's keys); its own forward is
never called, because it projects every row and averages every weight whether anybody reads them or not.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def few_queries(
    holder: nn.MultiheadAttention,
    queries: Tensor,
    parts: Sequence[tuple[Tensor, Tensor | None]],
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """Multi-head attention of a few queries over the rows of several parts that are never joined in memory.

    queries (B or 1, N, C); a part is rows (B, R, C) and which of them may be seen (B, R) or None for all of them.
    Returns the output (B, N, C) and the weights (B, H, N, sum of R) before dropout.

    The key and value projections are folded into the query and the weighted mean: q.(Wk y) = (q Wk).y and
    sum(a Wv y) = Wv sum(a y), which is the same number at a fraction of the work while N is small. The key bias adds
    the same to every score of a query, so softmax ignores it.
    """
    heads, width = holder.num_heads, holder.embed_dim
    w_query, w_key, w_value = holder.in_proj_weight.chunk(3)
    b_query, _, b_value = holder.in_proj_bias.chunk(3)
    n = queries.shape[1]
    query = torch.unflatten(F.linear(queries, w_query, b_query), -1, (heads, -1)) / math.sqrt(width // heads)
    folded = torch.einsum("bnhd,hdc->bhnc", query, w_key.view(heads, -1, width)).flatten(1, 2)  # B|1, HN, C
    scores = torch.cat([_masked(folded @ rows.transpose(1, 2), seen) for rows, seen in parts], dim=-1)
    weights = scores.softmax(-1)
    dropped = F.dropout(weights, dropout) if dropout else weights
    mean, start = torch.zeros((), dtype=dropped.dtype, device=dropped.device), 0
    for rows, _ in parts:
        mean = mean + dropped[..., start : start + rows.shape[1]] @ rows
        start += rows.shape[1]
    mean = torch.unflatten(mean, 1, (heads, n))  # B, H, N, C
    value = torch.einsum("bhnc,hdc->bnhd", mean, w_value.view(heads, -1, width))
    sums = torch.unflatten(dropped.sum(-1), 1, (heads, n)).transpose(1, 2).unsqueeze(-1)
    value = value + sums * b_value.view(heads, -1)
    return holder.out_proj(value.flatten(2)), torch.unflatten(weights, 1, (heads, n))


def rows_attention(
    holder: nn.MultiheadAttention, rows: Tensor, keys: Tensor, seen: Tensor | None, dropout: float
) -> Tensor:
    """Ordinary multi-head attention of every row (B, R, C) over keys (B, K, C), fused; seen (B, K) bool or None."""
    heads = holder.num_heads
    w_query, w_key, w_value = holder.in_proj_weight.chunk(3)
    b_query, b_key, b_value = holder.in_proj_bias.chunk(3)
    query = _heads(F.linear(rows, w_query, b_query), heads)
    key, value = _heads(F.linear(keys, w_key, b_key), heads), _heads(F.linear(keys, w_value, b_value), heads)
    mask = None if seen is None else seen[:, None, None, :]
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    return holder.out_proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def rows_weights(holder: nn.MultiheadAttention, rows: Tensor, keys: Tensor, seen: Tensor) -> Tensor:
    """The weights (B, H, R, K) that `rows_attention` does not show."""
    heads = holder.num_heads
    w_query, w_key, _ = holder.in_proj_weight.chunk(3)
    b_query, b_key, _ = holder.in_proj_bias.chunk(3)
    query, key = _heads(F.linear(rows, w_query, b_query), heads), _heads(F.linear(keys, w_key, b_key), heads)
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return scores.masked_fill(~seen[:, None, None, :], -math.inf).softmax(-1)


def grounding_weights(holder: nn.MultiheadAttention, tokens: Tensor, frames: Tensor, seen: Tensor | None) -> Tensor:
    """How much each head looks at each frame: tokens (B, N, C), frames (B, V, D) -> (B, N, H, V).

    Only the weights exist here; the key projection is folded into the query as in `few_queries`. A sample without a
    single frame to see gets zeros.
    """
    heads, width = holder.num_heads, holder.embed_dim
    w_query, w_key = _query_and_key(holder)
    query = F.linear(tokens, w_query, holder.in_proj_bias[:width])
    query = torch.unflatten(query, -1, (heads, -1)) / math.sqrt(width // heads)
    folded = torch.einsum("bnhd,hdf->bnhf", query, w_key.view(heads, -1, frames.shape[-1]))
    scores = torch.unflatten(folded.flatten(1, 2) @ frames.transpose(1, 2), 1, folded.shape[1:3])
    if seen is None:
        return scores.softmax(-1)
    return masked_softmax(scores, seen[:, None, None, :])


def _query_and_key(holder: nn.MultiheadAttention) -> tuple[Tensor, Tensor]:
    """The two projections, which torch packs into one tensor when keys are as wide as queries."""
    if holder.in_proj_weight is None:
        return holder.q_proj_weight, holder.k_proj_weight
    w_query, w_key, _ = holder.in_proj_weight.chunk(3)
    return w_query, w_key


def masked_softmax(scores: Tensor, seen: Tensor) -> Tensor:
    """Softmax over the last dimension among the seen; all zeros where nothing is."""
    weights = scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(-1)
    return weights * seen


def _masked(scores: Tensor, seen: Tensor | None) -> Tensor:
    return scores if seen is None else scores.masked_fill(~seen[:, None, :], -math.inf)


def _heads(rows: Tensor, heads: int) -> Tensor:
    return torch.unflatten(rows, -1, (heads, -1)).transpose(1, 2)
