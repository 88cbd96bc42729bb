"""Trains the demonstration's network once and keeps the result in the user's cache."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from galton.cache import cache_folder
from galton.demo import digits, model

SEED = 0
EPOCHS = 14
BATCH = 50
PEAK_RATE = 0.01
SHIFT = 2
"""Images are moved by up to this many pixels while training."""


def cache_file() -> Path:
    """Where the trained weights are kept: named by the code that trains them."""
    import galton.demo.training as here

    text = "".join(inspect.getsource(module) for module in (digits, model, here))
    return cache_folder() / f"digits-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"


def trained(data: digits.Digits, advance: Callable[[int], None], cached: Path | None = None) -> nn.Module:
    """The network in evaluation mode, from the cache or trained now; `advance` is called after each epoch with its number.

    Training takes one thread: it is too small to gain from more, and so the result does not depend on how many there are.
    """
    path = cached or cache_file()
    network = model.make_model()
    if path.exists():
        network.load_state_dict(load_file(path))
        advance(EPOCHS)
        return network.eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(SEED)
        network = model.make_model()
        train(network, torch.from_numpy(data.train), torch.from_numpy(data.train_labels), advance)
    finally:
        torch.set_num_threads(threads)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    save_file(network.state_dict(), unfinished)
    unfinished.replace(path)
    return network.eval()


def train(network: nn.Module, images: Tensor, labels: Tensor, advance: Callable[[int], None]) -> None:
    """Adam with a one-cycle rate on randomly shifted images."""
    steps = -(-len(images) // BATCH)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=EPOCHS * steps)
    network.train()
    for epoch in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(BATCH):
            loss = cross_entropy(network(shifted(images[chosen])), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        advance(epoch + 1)


def shifted(images: Tensor) -> Tensor:
    """The batch moved by one random offset of up to SHIFT pixels in each axis."""
    y, x = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
    height, width = images.shape[2:]
    return pad(images, (SHIFT,) * 4)[:, :, y : y + height, x : x + width]
