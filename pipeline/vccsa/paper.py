"""`vccsa-paper`: VC-CSA as its authors released it, stage by stage, under their checkpoint keys.

Gives their numbers, gradients included, and none of their waste: one consensus query instead of 693 rows, no masks
built on the host, no weights nobody reads. Quirks that change results are kept on purpose and named where they stand.
Source: "Infer Induced Sentiment of Comment Response to Video", NeurIPS 2024, and its released code as run.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from csmv.pipeline.validated import Validated, parse
from csmv.pipeline.vccsa.attention import few_queries, grounding_weights, rows_attention, rows_weights
from csmv.pipeline.vccsa.text import TextTower


class PaperConfig(Validated):
    """Sizes under the authors' names. The last two are Table 1's, which the released code fixes at 1."""

    text_len: PositiveInt = 512
    visual_length: PositiveInt = 180
    visual_dim: PositiveInt = 1024
    visual_out_dim: PositiveInt = 768
    visualcnn_dim: PositiveInt = 768
    vtalign_ground_dim: PositiveInt = 768
    text_dim: PositiveInt = 768
    multiview_num: int = Field(4, ge=1, le=6)
    consensus_Transformer_head: PositiveInt = 8
    consensus_Transformer_fdim: PositiveInt = 512
    final_Transformer_head: PositiveInt = 4
    opinion_num: PositiveInt = 3
    emotion_num: PositiveInt = 8
    dropout: float = Field(0.2, ge=0, lt=1)
    groundAttention_head: PositiveInt = 16
    consensus_layer_num: int = Field(1, ge=1, le=3)
    consensus_token_num: int = Field(1, ge=1, le=3)
    # Without effect on results; in the released configuration files.
    consensus_mask: bool = True
    margin_loss_delta: Any = None
    gate_token_dim: Any = None
    transformer_layer: Any = None


class _Conv1d(nn.Module):
    """Holds the key `conv1d`."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(dim_in, dim_out, kernel_size=1)


class VisualEncoder(nn.Module):
    """Z_0 = X Wp + bp. A padded (zero) frame becomes bp, not zero: kept, it moves results."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.linear = _Conv1d(dim_in, dim_out)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, V, Dv) -> (B, V, D)."""
        return F.linear(frames, self.linear.conv1d.weight.squeeze(-1), self.linear.conv1d.bias)


class Scale(nn.Module):
    """Z_s = ReLU(conv(Z_{s-1})): kernel 3, zero padding at both ends of the V frames, no mask."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel_size=3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, V, D) -> (B, V, D)."""
        return torch.relu(self.conv(frames.transpose(1, 2))).transpose(1, 2)


class Consensus(nn.Module):
    """The consensus attention of one scale, of which only the rows of the consensus tokens are ever read.

    Video rows see video rows and tokens, text rows see text rows and tokens, tokens see everything; padding is never
    a key. With one layer (the paper's best, and all that was released) nobody reads the video and text rows, so they
    are not computed. Deeper layers update them under that rule.
    """

    def __init__(self, visual_dim: int, text_dim: int, dim: int, heads: int, layers: int) -> None:
        super().__init__()
        self.visualLinear = nn.Linear(visual_dim, dim)
        self.textLinear = nn.Linear(text_dim, dim)
        self.transformer = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.deeper = nn.ModuleList(nn.MultiheadAttention(dim, heads, batch_first=True) for _ in range(layers - 1))

    def forward(
        self, video: Tensor, video_seen: Tensor, text: Tensor, text_seen: Tensor, tokens: Tensor, dropout: float
    ) -> tuple[Tensor, Tensor]:
        """video (B, V, C) and text (B, L, C) after projection and ReLU, tokens (N, C) raw.

        Returns u (B, N, C) and the last layer's weights (B, H, N, V+N+L) in the authors' order of rows.
        """
        layers = [self.transformer, *self.deeper]
        tokens = tokens.unsqueeze(0)
        for layer in layers[:-1]:
            tokens = tokens.expand(len(text), -1, -1)
            video, tokens, text = _full_layer(layer, video, video_seen, tokens, text, text_seen, dropout)
        keys = tokens.expand(len(text), -1, -1)
        return few_queries(layers[-1], tokens, [(video, video_seen), (keys, None), (text, text_seen)], dropout)


def _full_layer(
    layer: nn.MultiheadAttention,
    video: Tensor,
    video_seen: Tensor,
    tokens: Tensor,
    text: Tensor,
    text_seen: Tensor,
    dropout: float,
) -> tuple[Tensor, Tensor, Tensor]:
    always = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    with_video, video_keys = torch.cat([video, tokens], 1), torch.cat([video_seen, always], 1)
    with_text, text_keys = torch.cat([text, tokens], 1), torch.cat([text_seen, always], 1)
    all_rows, all_keys = torch.cat([with_video, text], 1), torch.cat([video_keys, text_seen], 1)
    return (
        rows_attention(layer, video, with_video, video_keys, dropout),
        rows_attention(layer, tokens, all_rows, all_keys, dropout),
        rows_attention(layer, text, with_text, text_keys, dropout),
    )


class ScaleMixing(nn.Module):
    """Each token's own mixture of the scales: softmax over scales of (E Wf + bf)(R Wr + br)^T, not scaled."""

    def __init__(self, text_dim: int, visual_dim: int, dim: int) -> None:
        super().__init__()
        self.ffn_text = nn.Linear(text_dim, dim)
        self.ffn_visual = nn.Linear(visual_dim, dim)

    def forward(self, text: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """text (B, L, T), scales (B, S, D) -> weights (B, L, S) and the mixture (B, L, D) of unprojected scales."""
        weights = (self.ffn_text(text) @ self.ffn_visual(scales).transpose(1, 2)).softmax(-1)
        return weights, weights @ scales


class Head(nn.Module):
    """One linear layer; the released heads end in softmax."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.classLinear = nn.Linear(dim, classes)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, T) -> probabilities (B, K)."""
        return self.classLinear(feature).softmax(-1)  # type: ignore[no-any-return]


class ProbabilityFocalLoss(nn.Module):
    """mean over the batch of sum_k w_k (1-p_k)^2 (-log(p_k + 1e-7) + 1e-7) y_k with w_k = 1/K, never trained.

    The weights are constant although the classes are far from balanced, and scale emotion by 1/8 against 1/3.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((classes,), 1 / classes), requires_grad=False)

    def forward(self, probability: Tensor, label: Tensor) -> Tensor:
        """probability and one-hot label (B, K) -> scalar."""
        log = -torch.log(probability + 1e-7) + 1e-7
        return (self.weight * (1 - probability) ** 2 * log * label).sum(-1).mean()


class PaperVccsa(nn.Module):
    """The released model. Dropout acts on the weights of the three attentions and on the pooled feature."""

    def __init__(self, config: PaperConfig, text_encoder: nn.Module | None, still: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        c, self.config = config, config
        visual, width = c.visual_out_dim, c.consensus_Transformer_fdim
        self.consensus_token = nn.Parameter(torch.rand(c.consensus_token_num, width))
        self.visual_encoder = VisualEncoder(c.visual_dim, visual)
        self.text_encoder = None if text_encoder is None else TextTower(text_encoder, still=still)
        self.stack_cnn = nn.ModuleList(Scale(visual) for _ in range(c.multiview_num))
        self.stack_Consensus_Transformer_inview = nn.ModuleList(
            Consensus(visual, c.text_dim, width, c.consensus_Transformer_head, c.consensus_layer_num)
            for _ in range(c.multiview_num)
        )
        self.grounding_Attention = nn.MultiheadAttention(
            width, c.groundAttention_head, kdim=visual, vdim=visual, batch_first=True
        )
        # Its hidden state is read as one weight a frame: a model built for one V fits no other.
        self.ground_lstm = nn.LSTM(c.groundAttention_head, c.visual_length, batch_first=True)
        self.text_transformer = nn.MultiheadAttention(c.text_dim, c.final_Transformer_head, batch_first=True)
        self.multiview_attention_fusion = ScaleMixing(c.text_dim, visual, c.vtalign_ground_dim)
        self.fusion_linear = nn.Linear(c.text_dim + visual, c.text_dim)
        self.opinion_classifier_head = Head(c.text_dim, c.opinion_num)
        self.emotion_classifier_head = Head(c.text_dim, c.emotion_num)
        self.opinion_loss = ProbabilityFocalLoss(c.opinion_num)
        self.emotion_loss = ProbabilityFocalLoss(c.emotion_num)
        self.register_load_state_dict_pre_hook(_accept_checkpoints)  # type: ignore[no-untyped-call]

    @property
    def _dropout(self) -> float:
        return self.config.dropout if self.training else 0.0

    def forward(
        self,
        video_feat: Tensor,
        video_mask: Tensor,
        ids: Tensor,
        text_mask: Tensor,
        video_of: Tensor | None = None,
        longest: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities (B, 3) and (B, 8) and frame weights (S, B, V) from token ids (B, L).

        video_feat (U, V, Dv) holds each video once and video_of (B) says whose it is; without it, U = B in order.
        In training L must be `text_len`: dropout makes each padded row another draw and the maximum picks among
        them, so their number is part of the recipe. In evaluation all padded rows of a RoBERTa are equal and one is
        enough. `longest` is the most real tokens of a comment, if the caller knows it.
        """
        if self.text_encoder is None:
            raise ValueError("this model was built without a text encoder; use from_features")
        return self._run(
            video_feat, video_mask, self.text_encoder(ids, text_mask, longest), text_mask, video_of, None, longest
        )

    def from_features(
        self,
        video_feat: Tensor,
        video_mask: Tensor,
        text_feat: Tensor,
        text_mask: Tensor,
        opinion_label: Tensor | None = None,
        emotion_label: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Every inner array of the model under its golden name, from text features (B, L, T).

        video_feat (B, V, Dv), zero after the video's end; masks (B, V) and (B, L), 1 where real. With one-hot
        labels (B, 3) and (B, 8), the losses too.
        """
        seen: dict[str, Tensor] = {}
        opinion, emotion, _ = self._run(video_feat, video_mask, text_feat, text_mask, None, seen)
        seen |= {"opinion_prob": opinion, "emotion_prob": emotion}
        if opinion_label is not None and emotion_label is not None:
            seen["opinion_loss"] = self.opinion_loss(opinion, opinion_label)
            seen["emotion_loss"] = self.emotion_loss(emotion, emotion_label)
            seen["loss"] = seen["opinion_loss"] + seen["emotion_loss"]
        return seen

    def _run(
        self,
        video_feat: Tensor,
        video_mask: Tensor,
        text: Tensor,
        text_mask: Tensor,
        video_of: Tensor | None,
        seen: dict[str, Tensor] | None,
        longest: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        video_seen, text_seen = video_mask == 1, text_mask == 1
        # The video's side: everything that no comment changes, once for each video.
        frames = self.visual_encoder(video_feat)
        consensuses = [cast(Consensus, module) for module in self.stack_Consensus_Transformer_inview]
        scales: list[Tensor] = []
        views: list[Tensor] = []
        for number, (scale, consensus) in enumerate(zip(self.stack_cnn, consensuses, strict=True)):
            scales.append(scale(scales[-1] if number else frames))
            views.append(torch.relu(consensus.visualLinear(scales[-1])))
        if video_of is not None:
            scales, views = [z[video_of] for z in scales], [a[video_of] for a in views]
            video_seen = video_seen[video_of]

        # The comment's side: a consensus for each scale, and what it looks at in the video.
        tokens, rows, alphas = [], [], []
        for z, view, consensus in zip(scales, views, consensuses, strict=True):
            words = torch.relu(consensus.textLinear(text))
            u, row = consensus(view, video_seen, words, text_seen, self.consensus_token, self._dropout)
            # No padding mask: the weights run over all V frames, padded ones as well.
            alpha = grounding_weights(self.grounding_Attention, u, z, None)
            tokens.append(u)
            rows.append(row)
            alphas.append(alpha)
        ground = torch.stack(alphas)  # S, B, N, Hg, V
        # The LSTM is fed the weights after dropout, and its final cell state is read, not the hidden one.
        steps = F.dropout(ground, self._dropout, self.training).mean(2).flatten(0, 1).transpose(1, 2)
        cell = torch.unflatten(self.ground_lstm(steps)[1][1][0], 0, (len(scales), -1))  # S, B, V
        weights = torch.relu(cell)
        grounded = torch.stack([(w.unsqueeze(1) @ z).squeeze(1) for w, z in zip(weights, scales, strict=True)], 1)

        # Words choose among the scales, are fused with what they chose, and look at each other once.
        beta, mixed = self.multiview_attention_fusion(text, grounded)
        fusion = self.fusion_linear(torch.cat([text, mixed * text_mask.unsqueeze(-1).to(mixed.dtype)], -1))
        fused_in = torch.relu(fusion)
        if seen is not None:
            longest = text.shape[1]
        elif longest is None:
            longest = int(text_seen.sum(1).max())
        keys, keys_seen = fused_in[:, :longest], text_seen[:, :longest]
        fused = rows_attention(self.text_transformer, fused_in, keys, keys_seen, self._dropout)
        feature = fused.max(1).values  # over all L rows, padded rows as well
        dropped = F.dropout(feature, self._dropout, self.training)
        if seen is not None:
            attended = rows_weights(self.text_transformer, fused_in, keys, keys_seen)
            seen |= {
                "visual_proj": frames,
                "cnn_feature": torch.stack(scales),
                "consensus_feature": torch.stack(tokens).mean(2),
                "consensus_attn_row": torch.stack(rows).mean((2, 3)),
                "ground_head_attn": ground.mean(2),
                "lstm_cell_final": cell,
                "cg_score": weights,
                "scale_grounding": grounded,
                "multiview_attention": beta,
                "mv_fused_unmasked": mixed,
                "fusion_pre_relu": fusion,
                "text_fused": fused,
                "text_fused_attn": attended.mean(1),
                "final_feature": feature,
            }
        return self.opinion_classifier_head(dropped), self.emotion_classifier_head(dropped), weights


def build_paper(config: Mapping[str, Any], text_encoder: nn.Module | None = None) -> PaperVccsa:
    """The released model at the sizes of `config` (the authors' names, as in their configuration files).

    `text_encoder` takes input_ids and attention_mask and returns last_hidden_state, as transformers' models do;
    without one the model works from precomputed text features. Raises CsmvError for an unknown or unfit entry.
    """
    sizes = parse(PaperConfig, dict(config), "vccsa-paper")
    if sizes.visual_out_dim != sizes.visualcnn_dim:
        sizes = sizes.model_copy(update={"visualcnn_dim": sizes.visual_out_dim})
    return PaperVccsa(sizes, text_encoder)


def pad_length(lengths: list[int], text_len: int, rows_differ: bool) -> int:
    """To how many tokens a batch is padded.

    All `text_len` where padded rows differ: in training, by dropout, and with an encoder that numbers them on. Else,
    in evaluation with a RoBERTa, one padded row stands for all: the longest text and one more.
    """
    return text_len if rows_differ else min(text_len, max(lengths) + 1)


def _accept_checkpoints(module: PaperVccsa, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Take the authors' checkpoints as they are: with `module.` before each key, and with position_ids or not."""
    for key in [key for key in state if key.startswith(f"{prefix}module.")]:
        state[prefix + key.removeprefix(f"{prefix}module.")] = state.pop(key)
    text = f"{prefix}text_encoder."
    own_keys = module.state_dict(prefix=prefix).keys()
    for key in [key for key in state if key.startswith(text) and key not in own_keys]:
        if module.text_encoder is None or key.endswith("position_ids"):
            del state[key]
