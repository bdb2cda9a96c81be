"""The MiVOLO architecture: timm's VOLO with a patch embedding that combines a face and a body.

Source: Kuprashevich and Tolstykh, "MiVOLO: Multi-input Transformer for Age and Gender Estimation"
(arXiv 2307.04616). Names in the state dict are those of the published checkpoints. Files and
devices are handled elsewhere.
"""

from typing import Literal

import timm
import torch
from timm.layers import Mlp
from timm.layers.bottleneck_attn import PosEmbedRel
from timm.models.volo import VOLO, Outlooker
from torch import Tensor, nn
from torch.nn import functional

from ..errors import BadInput
from .outlook import Outlook
from .variants import PATCH_SIZE, STRIDE, Variant, parse_variant

Fusion = Literal["attention", "concatenation"]
STEM_STRIDE = 2
MEAN = (0.485, 0.456, 0.406)
"""ImageNet's mean and standard deviation of R, G, B, as used to train the published models."""
STD = (0.229, 0.224, 0.225)


def stem(width: int) -> nn.Sequential:
    """VOLO's stem for one RGB input: (n, 3, s, s) -> (n, width, s/2, s/2)."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, kernel_size=7, stride=STEM_STRIDE, padding=3, bias=False)
    ]
    for _ in range(2):
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


class Backbone(nn.Module):
    """One of timm's MobileNets up to stride 16: (n, 3, s, s) -> (n, width, s/16, s/16).

    Its first layers are sensitive to rounding (see runtime/mixed_precision.py), so they are
    excluded from autocast.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        net = timm.create_model(name)
        last = [stage for stage in net.feature_info if stage["reduction"] == STRIDE][-1]
        self.width: int = last["num_chs"]
        self.conv_stem, self.bn1 = net.conv_stem, net.bn1
        self.blocks = net.blocks[: int(last["module"].split(".")[1]) + 1]

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            x = self.blocks[0](self.bn1(self.conv_stem(x.float())))
        return self.blocks[1:](x)

    def freeze(self, stages: int) -> None:
        """Freeze the weights of this many stages; the first includes the layers before it."""
        if stages:
            for part in (self.conv_stem, self.bn1, *self.blocks[:stages]):
                part.requires_grad_(False)


def branch(size: Variant, backbone: int) -> tuple[nn.Module, nn.Conv2d]:
    """Return the network for one input, and its projection to tokens; `backbone` is an index."""
    if size.backbones is not None:
        net = Backbone(size.backbones[backbone])
        return net, nn.Conv2d(net.width, size.widths[0], kernel_size=1)
    patch = PATCH_SIZE // STEM_STRIDE
    return stem(size.stem_width), nn.Conv2d(
        size.stem_width, size.widths[0], kernel_size=patch, stride=patch
    )


class OneEmbed(nn.Module):
    """Patch embedding of one input: (n, 3, s, s) -> (n, dim, h, w)."""

    def __init__(self, size: Variant) -> None:
        super().__init__()
        self.conv, self.proj = branch(size, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(self.conv(x))


def queries_keys_values(x: Tensor, qkv: nn.Conv2d) -> list[Tensor]:
    """(n, dim, h, w) -> three of (n, h*w, dim). Splits the weights, which costs nothing, instead of
    the features."""
    tokens = x.flatten(2).transpose(1, 2)
    return [functional.linear(tokens, weight) for weight in qkv.weight.flatten(1).chunk(3)]


class RelativePositions(PosEmbedRel):
    """timm's relative positions, with the same weights and names, as features of queries and keys.

    timm adds a matrix (n, h*w, h*w) to the attention's weights. Here, a query gets its relative
    weights of all rows and columns, and a key tells its row and column, so that their product adds
    the same matrix.
    """

    offsets: Tensor
    places: Tensor

    def __init__(self, grid: int, dim: int, scale: float) -> None:
        super().__init__((grid, grid), dim_head=dim, scale=scale)
        line, one = torch.arange(grid), torch.eye(grid)
        places = torch.cat((one.repeat_interleave(grid, dim=0), one.repeat(grid, 1)), dim=1)
        self.register_buffer("offsets", line - line[:, None] + grid - 1, persistent=False)
        self.register_buffer("places", places, persistent=False)

    def of_queries(self, query: Tensor) -> Tensor:
        """(n, h*w, dim) -> (n, h*w, h + w)."""
        grid = self.offsets.shape[0]
        query = query.unflatten(1, (grid, grid))
        rows, columns = query @ self.height_rel.t(), query @ self.width_rel.t()
        shape = (query.shape[0], grid, grid, grid)
        rows = rows.gather(3, self.offsets[:, None].expand(shape))
        columns = columns.gather(3, self.offsets.expand(shape))
        return torch.cat((rows, columns), dim=3).flatten(1, 2)

    def of_keys(self, key: Tensor) -> Tensor:
        """(n, h*w, dim) -> (n, h*w, h + w)."""
        return self.places.to(key.dtype).expand(key.shape[0], -1, -1)


class FeatureEnhancer(nn.Module):
    """Merges face and body tokens into one sequence (section 3.3 of the paper).

    With the fusion `attention` they first attend to each other; `concatenation` omits that, for
    comparison.
    """

    def __init__(self, dim: int, grid: int, residual: bool, fusion: Fusion) -> None:
        super().__init__()
        self.residual = residual
        self.fusion = fusion
        self.scale = dim**-0.5
        if fusion == "attention":
            self.qkv_f = nn.Conv2d(dim, 3 * dim, kernel_size=1, bias=False)
            self.qkv_p = nn.Conv2d(dim, 3 * dim, kernel_size=1, bias=False)
            self.pos_embed = RelativePositions(grid, dim, self.scale)
        self.norm = nn.LayerNorm([2 * dim, grid, grid])
        self.mlp = Mlp(
            in_features=2 * dim, hidden_features=4 * dim, out_features=dim, use_conv=True
        )

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return what the query's positions gather from the other branch; arguments and result are
        (n, h*w, dim)."""
        position = self.pos_embed
        query = torch.cat((query * self.scale, position.of_queries(query)), dim=2)
        key = torch.cat((key, position.of_keys(key)), dim=2)
        return (query @ key.transpose(1, 2)).softmax(dim=-1) @ value

    def enhance(self, face: Tensor, body: Tensor) -> tuple[Tensor, Tensor]:
        """Return cross-attention from face to body and from body to face, each (n, dim, h, w)."""
        face_q, face_k, face_v = queries_keys_values(face, self.qkv_f)
        body_q, body_k, body_v = queries_keys_values(body, self.qkv_p)
        seen = self.attend(face_q, body_k, body_v), self.attend(body_q, face_k, face_v)
        return seen[0].transpose(1, 2).reshape(face.shape), seen[1].transpose(1, 2).reshape(
            body.shape
        )

    def forward(self, face: Tensor, body: Tensor) -> Tensor:
        """Two feature maps (n, dim, h, w) -> one of the same shape."""
        seen = self.enhance(face, body) if self.fusion == "attention" else (face, body)
        mixed = self.mlp(self.norm(torch.cat(seen, dim=1)))
        return face + body + mixed if self.residual else mixed


class FaceBodyEmbed(nn.Module):
    """Patch embedding of the two inputs: (n, 6, s, s), face in channels 0-2 and body in 3-5 -> (n,
    dim, h, w).

    With `present` (n, 2) bool, the stem skips missing inputs: they are all the same black picture,
    so it is computed once.
    """

    black: Tensor

    def __init__(self, size: Variant, input_size: int, fusion: Fusion) -> None:
        super().__init__()
        self.conv1, self.proj1 = branch(size, 0)
        self.conv2, self.proj2 = branch(size, 1)
        grid = input_size // (PATCH_SIZE if size.backbones is None else STRIDE)
        self.map = FeatureEnhancer(size.widths[0], grid, size.residual, fusion)
        black = (0 - torch.tensor(MEAN)) / torch.tensor(STD)
        self.register_buffer("black", black.view(1, 3, 1, 1), persistent=False)

    def branch(
        self, conv: nn.Module, proj: nn.Module, images: Tensor, present: Tensor | None
    ) -> Tensor:
        """(n, 3, s, s), (n,) -> (n, dim, h, w)."""
        if present is None:
            return proj(conv(images))
        shown = torch.cat((images[present], self.black.to(images.dtype).expand_as(images[:1])))
        place = torch.where(present, present.cumsum(0) - 1, shown.shape[0] - 1)
        return proj(conv(shown))[place]

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        faces, bodies = (None, None) if present is None else (present[:, 0], present[:, 1])
        face = self.branch(self.conv1, self.proj1, x[:, :3], faces)
        body = self.branch(self.conv2, self.proj2, x[:, 3:], bodies)
        return self.map(face, body)


class MiVOLO(VOLO):
    """VOLO with MiVOLO's inputs and outputs: (n, in_chans, s, s) normalised images -> (n,
    num_classes).

    With three outputs, the columns are the logits of male and female, and the normalised age; with
    one, only the age.
    """

    def __init__(
        self,
        size: Variant,
        input_size: int,
        in_chans: int,
        num_classes: int,
        drop_path: float,
        fusion: Fusion,
    ) -> None:
        has_stem = size.backbones is None
        super().__init__(
            layers=list(size.layers),
            img_size=input_size,
            in_chans=3,
            num_classes=num_classes,
            global_pool="token" if size.class_attention else "avg",
            patch_size=PATCH_SIZE if has_stem else STRIDE,
            pooling_scale=2 if has_stem else 1,
            downsamples=(has_stem, False, False, False),
            stem_hidden_dim=size.stem_width,
            embed_dims=list(size.widths),
            num_heads=list(size.heads),
            mlp_ratio=size.mlp_ratio,
            drop_path_rate=drop_path,
            post_layers=("ca", "ca") if size.class_attention else None,
            use_aux_head=size.class_attention,
        )
        for block in [part for part in self.modules() if isinstance(part, Outlooker)]:
            block.attn = Outlook(block.attn)
        self.in_chans = in_chans
        if in_chans == 6:
            self.patch_embed: nn.Module = FaceBodyEmbed(size, input_size, fusion)
        elif not has_stem:
            self.patch_embed = OneEmbed(size)

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """`present` (n, 2) bool says which faces and bodies are present; None computes all of them,
        even black ones."""
        patches = self.patch_embed(x, present) if self.in_chans == 6 else self.patch_embed(x)
        tokens = self.forward_tokens(patches.permute(0, 2, 3, 1))  # n, h*w, dim
        if self.post_network is None:
            return self.head(self.norm(tokens).mean(dim=1))
        tokens = self.norm(self.forward_cls(tokens))  # n, 1 + h*w, dim
        return self.head(tokens[:, 0]) + 0.5 * self.aux_head(tokens[:, 1:]).amax(dim=1)


class FromPixels(nn.Module):
    """A model with input normalisation: (n, s, s, channels) uint8 RGB -> (n, num_classes)."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: MiVOLO) -> None:
        super().__init__()
        self.model = model
        copies = model.in_chans // 3
        self.register_buffer(
            "mean", 255 * torch.tensor(MEAN * copies).view(1, -1, 1, 1), persistent=False
        )
        self.register_buffer(
            "std", 255 * torch.tensor(STD * copies).view(1, -1, 1, 1), persistent=False
        )

    def forward(self, pixels: Tensor, present: Tensor | None = None) -> Tensor:
        return self.model((pixels.permute(0, 3, 1, 2) - self.mean) / self.std, present)


def create_model(
    variant: str,
    in_chans: int = 6,
    num_classes: int = 3,
    drop_path: float = 0.0,
    fusion: Fusion = "attention",
) -> MiVOLO:
    """Build `mivolo_<size>[_<input size>]` (xs, d1 to d5) with random weights.

    `in_chans` 6 takes face and body, 3 one picture (plain VOLO); `num_classes` 3 predicts gender
    and age, 1 only age. `fusion` is how face and body are combined; the published models use
    attention. Raises BadInput for an unknown variant or an input size that patches cannot tile.
    """
    size, input_size = parse_variant(variant)
    if in_chans not in (3, 6) or num_classes not in (1, 3):
        raise BadInput(
            f"{variant!r} takes 3 or 6 channels and 1 or 3 "
            f"outputs, not {in_chans} and {num_classes}"
        )
    return MiVOLO(size, input_size, in_chans, num_classes, drop_path, fusion)
