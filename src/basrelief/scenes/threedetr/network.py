"""3DETR and 3DETR-m (Misra, Girdhar, Joulin 2021, arXiv:2109.08141): an end-to-end transformer from points to boxes.

The network follows the released code, which differs from the paper's text in places; `docs/research/3detr.md` lists them. Dropout, which
only matters in training, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from basrelief.encoders.points.operators import farthest_points, gather_points
from basrelief.scenes.threedetr.blocks import DecoderLayer, EncoderLayer, FourierPositions, Perceptron, SetAbstraction
from basrelief.scenes.threedetr.decode import BoxPredictions, HeadOutputs, decode_boxes

MASK_DISTANCES = (0.16, 0.64, 1.44)
"""Distances in metres from which tokens do not read each other, by layer of the masked encoder.

They are the squares of the radii 0.4, 0.8 and 1.2, but the released code compares them with distances that are not squared. So do we,
because the published weights were trained that way.
"""


@dataclass(frozen=True)
class ThreeDetrSize:
    """Options of the original's command line that decide names and shapes of the parameters, under their original names.

    Attributes:
        enc_type: `vanilla` for 3DETR, `masked` for 3DETR-m.
        nqueries: Number of boxes.
        num_semcls: Classes, without the background.
        num_angle_bin: Bins of the angle; 1 if boxes are not turned.
        use_color: Whether points have colours.
        preenc_npoints: Balls of the first set abstraction.
        enc_nlayers: Layers of the encoder; 3 if it is masked.
        enc_dim: Length of its tokens.
        enc_ffn_dim: Hidden length of its layers.
        enc_nhead: Attention heads of its layers.
        dec_nlayers: Layers of the decoder.
        dec_dim: Length of its states.
        dec_ffn_dim: Hidden length of its layers.
        dec_nhead: Attention heads of its layers.
    """

    enc_type: str
    nqueries: int
    num_semcls: int
    num_angle_bin: int
    use_color: bool = False
    preenc_npoints: int = 2048
    enc_nlayers: int = 3
    enc_dim: int = 256
    enc_ffn_dim: int = 128
    enc_nhead: int = 4
    dec_nlayers: int = 8
    dec_dim: int = 256
    dec_ffn_dim: int = 256
    dec_nhead: int = 4


class ThreeDetr(nn.Module):
    """The network; parameter names are those of the published files.

    Args:
        size: Its size.
    """

    def __init__(self, size: ThreeDetrSize) -> None:
        super().__init__()
        self.size = size
        enc, dec = size.enc_dim, size.dec_dim
        self.pre_encoder = SetAbstraction(3 * size.use_color, (64, 128, enc), centres=size.preenc_npoints, radius=0.2, samples=64)
        self.encoder = Encoder(size)
        hidden = (enc,) if size.enc_type == "masked" else (enc, enc)
        self.encoder_to_decoder_projection = Perceptron(enc, *hidden, dec)
        self.pos_embedding = FourierPositions(dec)
        self.query_projection = Perceptron(dec, dec, dec, norm=False)
        self.decoder = Decoder(size)
        outputs = {"sem_cls_head": size.num_semcls + 1, "center_head": 3, "size_head": 3}
        outputs |= dict.fromkeys(("angle_cls_head", "angle_residual_head"), size.num_angle_bin)
        self.mlp_heads = nn.ModuleDict({name: Perceptron(dec, dec, dec, n, dropout=True, output=True) for name, n in outputs.items()})

    def forward(self, points: Float[Tensor, "batch points channels"]) -> BoxPredictions:
        """Predict boxes.

        Args:
            points: Positions in metres, +Z up, walls along x and y; then, if the network reads colours, red, green and blue as
                `network_input` returns them.
        """
        low, high = points[..., :3].amin(1), points[..., :3].amax(1)
        xyz, features = self.encode(points)
        queries = gather_points(xyz, self.choose_queries(xyz))
        states = self.decoder(
            self.query_projection(self.pos_embedding(queries, low, high)),
            self.pos_embedding(xyz, low, high),
            self.encoder_to_decoder_projection(features),
        )
        return decode_boxes(self.head_outputs(states[-1]), queries, low, high)

    def encode(
        self, points: Float[Tensor, "batch points channels"]
    ) -> tuple[Float[Tensor, "batch tokens 3"], Float[Tensor, "batch tokens dim"]]:
        """Return positions and features of the encoder's tokens."""
        xyz, features, _ = self.pre_encoder(points[..., :3].contiguous(), points[..., 3:])
        xyz, features, _ = self.encoder(xyz, features)
        return xyz, features

    def choose_queries(self, xyz: Float[Tensor, "batch tokens 3"]) -> Int64[Tensor, "batch queries"]:
        """Choose the tokens at which boxes are looked for."""
        return farthest_points(xyz, self.size.nqueries, skip_near_origin=True)

    def head_outputs(self, states: Float[Tensor, "batch queries width"]) -> HeadOutputs:
        """Apply the five heads to states of the decoder."""
        names = ("sem_cls_head", "center_head", "size_head", "angle_cls_head", "angle_residual_head")
        return HeadOutputs(*(self.mlp_heads[name](states) for name in names))


class Encoder(nn.Module):
    """Self-attention between tokens: of all with all, or, if masked, of near ones, with half the tokens after the first layer."""

    def __init__(self, size: ThreeDetrSize) -> None:
        super().__init__()
        width = size.enc_dim
        self.layers = nn.ModuleList(EncoderLayer(width, size.enc_ffn_dim, size.enc_nhead) for _ in range(size.enc_nlayers))
        self.masked = size.enc_type == "masked"
        if self.masked:
            half = size.preenc_npoints // 2
            self.interim_downsampling = SetAbstraction(width, (256, 256, width), centres=half, radius=0.4, samples=32)

    def forward(
        self, xyz: Float[Tensor, "batch before 3"], tokens: Float[Tensor, "batch before dim"]
    ) -> tuple[Float[Tensor, "batch after 3"], Float[Tensor, "batch after dim"], Int64[Tensor, "batch after"] | None]:
        """Return positions, features and, if masked, the indices of the tokens that are left."""
        if not self.masked:
            for layer in self.layers:
                tokens = layer(tokens)
            return xyz, tokens, None
        first, *others = zip(self.layers, MASK_DISTANCES, strict=True)
        layer, limit = first
        tokens = layer(tokens, _distances(xyz) >= limit)
        xyz, tokens, index = self.interim_downsampling(xyz, tokens)
        distances = _distances(xyz)
        for layer, limit in others:
            tokens = layer(tokens, distances >= limit)
        return xyz, tokens, index


class Decoder(nn.Module):
    """From queries at positions to states that describe boxes; one norm serves the output of every layer."""

    def __init__(self, size: ThreeDetrSize) -> None:
        super().__init__()
        width = size.dec_dim
        self.layers = nn.ModuleList(DecoderLayer(width, size.dec_ffn_dim, size.dec_nhead) for _ in range(size.dec_nlayers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        queries: Float[Tensor, "batch queries width"],
        positions: Float[Tensor, "batch tokens width"],
        memory: Float[Tensor, "batch tokens width"],
    ) -> list[Float[Tensor, "batch queries width"]]:
        """Return the states after each layer. Only the last are used outside of training.

        Args:
            queries: Embedded positions of the queries; their states start as zeros.
            positions: Embedded positions of the tokens.
            memory: Features of the tokens.
        """
        states, outputs = torch.zeros_like(queries), []
        keys = memory + positions
        for layer in self.layers:
            states = layer(states, queries, keys, memory)
            outputs.append(self.norm(states))
        return outputs


def _distances(xyz: Float[Tensor, "batch tokens 3"]) -> Float[Tensor, "batch tokens tokens"]:
    """Distances between tokens, not by matrix products, so that they do not depend on TF32 or the size of the batch."""
    return torch.cdist(xyz, xyz, compute_mode="donot_use_mm_for_euclid_dist")
