"""How much faster VC-CSA is here than a straightforward implementation of the released forward.

The yardstick computes what the released code computes: every text at 512 tokens, every row of the consensus
attention with its weights, masks built anew in each forward, the encoder's eager attention and its pooler.

    python tests/benchmarks/bench_vccsa_speed.py --annotations DIR --batch 16 --pieces 4

measures at the paper's sizes; without options a batch of 2, with lengths as real comments have them on average.
"""

import argparse
import json
import math
import os
import platform
import time
import zipfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from csmv.pipeline.vccsa.batch import Batch, Stream
from csmv.pipeline.vccsa.model import Vccsa
from csmv.pipeline.vccsa.paper import PaperConfig, PaperVccsa
from csmv.pipeline.vccsa.text import TextTower
from csmv.pipeline.vccsa.train_config import Sizes, Switches

LENGTH, FRAMES, DIM = 512, 180, 1024


class Straightforward(nn.Module):
    """The released forward, row by row and weight by weight; holds a PaperVccsa's parameters."""

    def __init__(self, paper: PaperVccsa) -> None:
        super().__init__()
        self.p = paper

    def forward(self, video: Tensor, video_mask: Tensor, ids: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        p, c = self.p, self.p.config
        text = p.text_encoder.text_encoder(input_ids=ids, attention_mask=text_mask).last_hidden_state
        b, v, length = video.shape[0], video.shape[1], text.shape[1]
        projection = p.visual_encoder.linear.conv1d
        z = projection(video.transpose(1, 2)).transpose(1, 2)
        grounded = []
        for scale, consensus in zip(p.stack_cnn, p.stack_Consensus_Transformer_inview, strict=True):
            z = torch.relu(scale.conv(z.transpose(1, 2))).transpose(1, 2)
            rows = torch.cat(
                [
                    torch.relu(consensus.visualLinear(z)),
                    p.consensus_token.expand(b, 1, -1),
                    torch.relu(consensus.textLinear(text)),
                ],
                1,
            )
            mask = self._visibility(b, c.consensus_Transformer_head, v, length, rows.device)
            padding = torch.cat([video_mask != 1, torch.zeros(b, 1, dtype=torch.bool), text_mask != 1], 1)
            out, _ = consensus.transformer(
                rows, rows, rows, key_padding_mask=padding, attn_mask=mask, need_weights=True
            )
            u = out[:, v : v + 1]
            _, alpha = p.grounding_Attention(u, z, z, need_weights=True, average_attn_weights=False)
            cell = p.ground_lstm(alpha.squeeze(2).transpose(1, 2))[1][1][0]
            grounded.append((torch.relu(cell).unsqueeze(-1) * z).sum(1))
        scales = torch.stack(grounded, 1)
        mixing = p.multiview_attention_fusion
        beta = torch.softmax(mixing.ffn_text(text) @ mixing.ffn_visual(scales).transpose(1, 2), -1)
        fused = torch.relu(p.fusion_linear(torch.cat([text, (beta @ scales) * text_mask.unsqueeze(-1)], -1)))
        read, _ = p.text_transformer(fused, fused, fused, key_padding_mask=text_mask != 1, need_weights=True)
        feature = torch.dropout(read.max(1).values, c.dropout, self.training)
        return p.opinion_classifier_head(feature), p.emotion_classifier_head(feature)

    @staticmethod
    def _visibility(b: int, heads: int, v: int, length: int, device: torch.device) -> Tensor:
        """True where a row may not see another, for every sample and head, as the released code builds it."""
        rows = v + 1 + length
        hidden = torch.rand(b * heads, rows, rows) < 0
        hidden[:, :v, v + 1 :] = True
        hidden[:, v + 1 :, :v] = True
        return hidden.to(device)


def paper_model(roberta: nn.Module, sizes: PaperConfig) -> PaperVccsa:
    torch.manual_seed(0)
    return PaperVccsa(sizes, roberta)


def texts(lengths: Sequence[int], padded: int, vocabulary: int) -> tuple[Tensor, Tensor]:
    mask = (torch.arange(padded) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(4, vocabulary, mask.shape, generator=torch.Generator().manual_seed(1))
    return torch.where(mask == 1, ids, 1), mask


def real_lengths(annotations: Path, count: int, seed: int = 0) -> list[int]:
    """Token counts of comments drawn from the published train set, as characters / 4 + 2."""
    with zipfile.ZipFile(annotations / "lable_data_dict.json.zip") as archive:
        labels = json.loads(archive.read(archive.namelist()[0]))
    train = json.loads((annotations / "train_set.json").read_text())
    keys = train if isinstance(train, list) else list(train)
    found = [len(_text(labels[str(key)])) for key in keys[:20000] if str(key) in labels]
    return [int(n / 4) + 2 for n in np.random.default_rng(seed).choice(found, count)]


def _text(entry: dict[str, object]) -> str:
    return max((value for value in entry.values() if isinstance(value, str)), key=lambda v: v.count(" "), default="")


def timed(step: Callable[[], None], repeats: int) -> tuple[float, float]:
    """Least wall and least CPU seconds over repeats."""
    wall, cpu = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        step()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    return min(wall), min(cpu)


def main() -> None:
    from transformers import RobertaConfig, RobertaModel

    parser = argparse.ArgumentParser()
    parser.add_argument("--annotations", type=Path, help="folder of the published CSMV annotations")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--pieces", type=int, default=1, help="the yardstick's batch in this many summed pieces")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    b = asked.batch
    lengths = real_lengths(asked.annotations, b) if asked.annotations else [(9, 17)[k % 2] for k in range(b)]
    torch.manual_seed(0)
    encoder = RobertaModel(RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1))
    paper = PaperVccsa(PaperConfig(), encoder)
    video = torch.randn(b, FRAMES, DIM)
    video_mask = torch.ones(b, FRAMES, dtype=torch.long)
    opinion = torch.nn.functional.one_hot(torch.arange(b) % 3, 3).float()
    emotion = torch.nn.functional.one_hot(torch.arange(b) % 8, 8).float()
    ids_512, mask_512 = texts(lengths, LENGTH, 50265)
    short = max(lengths) + 1
    print(
        f"{date.today()} {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
        f"load {os.getloadavg()[0]:.1f}, torch {torch.__version__}; batch {b}, token counts {sorted(lengths)}"
    )

    def loss_of(probabilities: tuple[Tensor, ...], rows: slice) -> Tensor:
        return paper.opinion_loss(probabilities[0], opinion[rows]) + paper.emotion_loss(probabilities[1], emotion[rows])

    def optimised(model: nn.Module, forward: Callable[[slice], Tensor], pieces: int) -> Callable[[], None]:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
        size = math.ceil(b / pieces)

        def step() -> None:
            for k in range(pieces):
                rows = slice(k * size, (k + 1) * size)
                (forward(rows) / pieces).backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    def report(name: str, step: Callable[[], None], repeats: int) -> None:
        if not asked.only or asked.only in name:
            wall, cpu = timed(step, repeats)
            print(f"{name:42s} {wall:8.2f} s wall  {cpu:8.2f} s CPU", flush=True)

    def no_grad(call: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode():
                call()

        return run

    ours = Vccsa(
        TextTower(encoder),
        [DIM],
        Sizes(
            visual_dim=768, ground_dim=768, consensus_dim=512, consensus_heads=8, ground_heads=16, visual_length=FRAMES
        ),
        Switches(),
    )
    batch = Batch(
        ids=ids_512[:, : short - 1],
        text_seen=mask_512[:, : short - 1].bool(),
        streams=(Stream(video, video_mask.bool()),),
        video_of=torch.arange(b),
        opinion=torch.arange(b) % 3,
        emotion=torch.arange(b) % 8,
        rows=torch.arange(b),
    )
    report("vccsa, training", optimised(ours.train(), lambda rows: ours(batch).loss, 1), asked.repeats)
    paper.eval()
    short_ids, short_mask = ids_512[:, :short], mask_512[:, :short]
    report(
        "vccsa-paper, evaluation",
        no_grad(lambda: paper(video, video_mask, short_ids, short_mask)),
        asked.repeats,
    )
    yardstick = Straightforward(paper)
    encoder.set_attn_implementation("eager")
    yardstick.eval()
    size = math.ceil(b / asked.pieces)
    pieces = [slice(k, k + size) for k in range(0, b, size)]
    report(
        "released forward, evaluation at 512",
        no_grad(lambda: [yardstick(video[r], video_mask[r], ids_512[r], mask_512[r]) for r in pieces]),
        1,
    )
    yardstick.train()
    report(
        "released forward, training at 512",
        optimised(
            yardstick,
            lambda rows: loss_of(yardstick(video[rows], video_mask[rows], ids_512[rows], mask_512[rows]), rows),
            asked.pieces,
        ),
        1,
    )
    encoder.set_attn_implementation("csmv_real_keys")
    paper.train()
    report(
        "vccsa-paper, training at 512",
        optimised(
            paper,
            lambda rows: loss_of(paper(video[rows], video_mask[rows], ids_512[rows], mask_512[rows]), rows),
            asked.pieces,
        ),
        1,
    )


if __name__ == "__main__":
    main()
