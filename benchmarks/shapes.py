"""How well the default captioner describes drawn shapes: new images, and new combinations.

Run it by ``.venv/bin/python benchmarks/shapes.py [images] [test images]``. It trains on `shapes()`
and checks the captions of test images, and of images with a combination of colour and shape that
training never showed, against the drawings' own records. Intervals: BCa for BLEU-4 and CIDEr-D,
Wilson for the shares.
"""

from __future__ import annotations

import sys
import time

from side_by_side import machine

import diglot
from diglot.evaluation import wilson


def main(images: int = 8000, tested: int = 1000) -> None:
    train = diglot.shapes(images, seed=1)
    began = time.perf_counter()
    model = diglot.ImageCaptioner(seed=1, verbose=False)
    model.fit(train[["image"]], train["captions"])
    seconds = time.perf_counter() - began
    print(machine())
    print(f"{images} images of 64 x 64, {len(model.history_)} epochs: {seconds / 60:.1f} minutes")
    print(f"fingerprint {model.fingerprint()[:16]}\n")
    for split in ("test", "unseen"):
        data = diglot.shapes(tested, seed=1, split=split)
        table = model.evaluate(data[["image"]], data["captions"], meteor=False)
        for _, row in table[table["metric"].isin(["bleu_4", "cider_d"])].iterrows():
            interval = f"({row['lower']:.3f} to {row['upper']:.3f})"
            print(f"{split:8}{row['metric']:10}{row['estimate']:.3f} {interval}")
        told = model.predict(data[["image"]])
        for what, right in diglot.check_shapes(told.tolist(), data).items():
            lower, upper = wilson(int(right.sum()), tested)
            print(f"{split:8}{what:10}{right.mean():.1%} ({lower:.1%} to {upper:.1%})")
        wrong = (~diglot.check_shapes(told.tolist(), data)["all"]).to_numpy().nonzero()[0][:5]
        for i in wrong:
            print(f"{split:8}wrong:    {told[i]!r} for {data['captions'][i][0]!r}")
        print()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
