"""A model in training: optimizers, averaged weights, steps, and checkpoints to resume from."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from timm.layers import set_fused_attn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..atomic import replacing
from ..datasets.labels import OLDEST
from ..errors import BadInput
from ..model import checkpoint
from ..model.architecture import Backbone, FromPixels, MiVOLO, create_model
from ..model.spec import ModelSpec
from .loss import Batch, loss
from .recipe import Recipe


class Trainer:
    """Holds the complete training state, so that a checkpoint can be resumed exactly."""

    def __init__(
        self,
        recipe: Recipe,
        steps: int,
        device: str,
        init: str | None,
        mean_age: float,
        backbones: Path | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        set_fused_attn(
            device != "cpu"
        )  # the backward pass of PyTorch's fused attention is slow on a CPU
        self.recipe, self.steps, self.device, self.step = recipe, steps, device, 0
        self.best, self.waited = math.inf, 0
        model = create_model(
            recipe.variant,
            recipe.in_chans,
            recipe.num_classes,
            drop_path=recipe.drop_path,
            fusion=recipe.fusion,
        )
        spec = checkpoint.spec_of(
            model, recipe.variant, min_age=0.0, max_age=OLDEST, inputs=recipe.inputs
        )
        spec = replace(spec, level=recipe.level)
        if init is not None:
            spec = replace(spec, card=load_weights(model, init, recipe.variant).card)
        else:
            # otherwise the first steps would only learn the mean, and damage the features
            set_initial_age(model, (mean_age - spec.avg_age) / (spec.max_age - spec.min_age))
        self.spec = spec
        if backbones is not None:
            load_backbones(model, backbones)
        self.backbones = [part for part in model.modules() if isinstance(part, Backbone)]
        for backbone in self.backbones:
            backbone.freeze(recipe.frozen_stages)
        self.model = FromPixels(model).to(device).to(memory_format=torch.channels_last)
        self.average = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=True
        )
        self.optimizers = optimizers(self.model, recipe)
        self.schedulers = [
            torch.optim.lr_scheduler.LambdaLR(optimizer, self.learning_rate)
            for optimizer in self.optimizers
        ]

    @property
    def averaged(self) -> MiVOLO:
        model = self.average.module.model
        assert isinstance(model, MiVOLO)
        return model

    def learning_rate(self, step: int) -> float:
        """Return the learning-rate factor: linear warm-up, then cosine decay to 1 %."""
        warm = min(1.0, (step + 1) / max(1, self.recipe.warmup_steps))
        return warm * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, step / self.steps))) / 2)

    def learn(self, batch: Batch) -> dict[str, Tensor]:
        """Take one step; return the parts of the loss."""
        self._train_mode()
        sums: dict[str, Tensor] = {}
        for part in batch.to(self.device).split(self.recipe.accumulate):
            for name, value in self._backward(part).items():
                sums[name] = sums.get(name, 0.0) + value / self.recipe.accumulate
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        for optimizer, scheduler in zip(self.optimizers, self.schedulers, strict=True):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            scheduler.step()
        self.average.update_parameters(self.model)
        self.step += 1
        return sums

    def _train_mode(self) -> None:
        self.model.train()
        if self.recipe.frozen_stages:
            for backbone in self.backbones:
                backbone.eval()  # keeps the pretrained normalisation statistics

    def _backward(self, batch: Batch) -> dict[str, Tensor]:
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            outputs = self.model(batch.pixels, batch.present if self.recipe.in_chans == 6 else None)
        total, parts = loss(outputs.float(), batch, self.spec, self.recipe)
        (total / self.recipe.accumulate).backward()
        return {name: part.detach() for name, part in parts.items()}

    def is_better(self, figure: float) -> bool:
        """Whether this validation figure (lower is better) is the best so far; also counts how many
        in a row were not."""
        better = figure < self.best
        self.best, self.waited = (figure, 0) if better else (self.best, self.waited + 1)
        return better

    @property
    def is_exhausted(self) -> bool:
        return 0 < self.recipe.patience <= self.waited

    def save(self, file: Path) -> None:
        """Write a checkpoint atomically: a killed run keeps its last one. Raises OutputError."""
        state = {name: part.state_dict() for name, part in self._stateful().items()}
        state |= {"recipe": json.dumps(asdict(self.recipe)), "random": torch.get_rng_state()}
        state |= {name: getattr(self, name) for name in ("step", "steps", "best", "waited")}
        with replacing(file) as out:
            torch.save(state, out)

    def restore(self, file: Path) -> None:
        """Restore a checkpoint. Raises BadInput if it is damaged or of another recipe or data."""
        try:
            state = torch.load(file, map_location=self.device, weights_only=True)
            self._require_same(file, json.loads(state["recipe"]), state["steps"])
            for name, part in self._stateful().items():
                part.load_state_dict(state[name])
            for name in ("step", "best", "waited"):
                setattr(self, name, state[name])
            torch.set_rng_state(state["random"].cpu())
        except (OSError, pickle.UnpicklingError, *checkpoint.DAMAGED) as error:
            raise BadInput(
                f"the checkpoint {file} is damaged",
                hint="start again in another folder, perhaps with --init",
            ) from error

    def _require_same(self, file: Path, recipe: dict[str, Any], steps: int) -> None:
        own = json.loads(json.dumps(asdict(self.recipe)))
        changed = [name for name, value in own.items() if recipe.get(name) != value]
        if changed:
            raise BadInput(
                f"{file} belongs to a training with a different {', '.join(changed)}",
                hint="resume it with its own recipe",
            )
        if steps != self.steps:
            raise BadInput(
                f"{file} belongs to a run of {steps} steps, not {self.steps}",
                hint="resume it with its own data",
            )

    def _stateful(self) -> dict[str, Any]:
        return {"model": self.model, "average": self.average} | {
            f"{kind}{index}": part
            for kind, parts in (("optimizer", self.optimizers), ("scheduler", self.schedulers))
            for index, part in enumerate(parts)
        }


def load_weights(model: MiVOLO, init: str, variant: str) -> ModelSpec:
    """Load the weights of `init` into a new model; return the spec of `init`. Raises BadInput if
    they do not fit."""
    loaded, spec = checkpoint.load(init)
    try:
        model.load_state_dict(loaded.state_dict())
    except RuntimeError as error:
        raise BadInput(
            f"the model {init} is not a {variant}, or has different inputs or outputs",
            hint="use a recipe with the model's variant, inputs and gender",
        ) from error
    return spec


def load_backbones(model: MiVOLO, file: Path) -> None:
    """Load backbones from `bench/backbones.py` into a new model. Raises BadInput if they do not
    fit."""
    backbones, own = checkpoint.read_tensors(file)[0], model.patch_embed.state_dict()
    if model.in_chans == 3:
        backbones = {
            name.replace("conv1.", "conv."): value
            for name, value in backbones.items()
            if name.startswith("conv1.")
        }
    odd = [
        name
        for name, value in backbones.items()
        if name not in own or own[name].shape != value.shape
    ]
    if odd or not backbones:
        raise BadInput(
            f"{file} contains no backbones for this model",
            hint="create them with bench/backbones.py, for mivolo_xs",
        )
    model.patch_embed.load_state_dict(own | backbones)


def set_initial_age(model: MiVOLO, value: float) -> None:
    """Set the age bias of a new model to this normalised age."""
    with torch.no_grad():
        model.head.bias[-1] = value


def optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return AdamW; or Muon for the matrices, and AdamW for everything else, with a lower rate in
    the backbones."""
    learned = [p for p in model.parameters() if p.requires_grad]
    in_backbone = {
        id(p) for part in model.modules() if isinstance(part, Backbone) for p in part.parameters()
    }
    matrices = [p for p in learned if p.ndim == 2 and recipe.optimizer == "muon"]
    rest = [p for p in learned if p.ndim != 2 or recipe.optimizer != "muon"]
    groups = [
        {"params": [p for p in rest if id(p) not in in_backbone], "lr": recipe.adamw_lr},
        {
            "params": [p for p in rest if id(p) in in_backbone],
            "lr": recipe.adamw_lr * recipe.backbone_lr,
        },
    ]
    adamw = torch.optim.AdamW(
        [group for group in groups if group["params"]], weight_decay=recipe.weight_decay
    )
    if not matrices:
        return [adamw]
    return [torch.optim.Muon(matrices, lr=recipe.muon_lr, weight_decay=recipe.weight_decay), adamw]
