"""What captioning adds to the one loop: batches of images with words, and how text is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diglot.batching import Sparing
from diglot.captioner.captioned import Captioned, Groups, bucket_bounds
from diglot.captioner.decoding import beam_search, sample
from diglot.captioner.speaker import Speaker
from diglot.captions.vocabulary import BEGIN, END, Vocabulary, tokenise
from diglot.engine import Executor
from diglot.estimators.feed import Feed
from diglot.evaluation import CiderD, bleu_scores, bleu_statistics, rouge_l
from diglot.seeds import stream

MEASURES = ("val_loss", "val_bleu_4", "val_rouge_l", "val_cider_d")


class Judge:
    """Judges by the text that is generated for images held out, and by their captions' loss.

    Parameters
    ----------
    feed : Feed
        The images.
    held : Captioned
        Their captions.
    groups : Groups
        The same, coded.
    vocabulary : Vocabulary
    speaker : Speaker
        Generates the text; it gets the weights of the moment.
    likelihood : Executor
        Computes the captions' loss, without label smoothing, whatever is trained for: so losses
        of all phases compare. It gets the same weights.
    longest : int
        How many words a text may have.
    """

    def __init__(
        self,
        feed: Feed,
        held: Captioned,
        groups: Groups,
        vocabulary: Vocabulary,
        speaker: Speaker,
        likelihood: Executor,
        longest: int,
    ) -> None:
        self.feed = feed
        self._groups, self._vocabulary = groups, vocabulary
        self._speaker, self._longest = speaker, longest
        self._likelihood, self._losses = likelihood, Sparing(likelihood)
        lowercase = vocabulary.lowercase
        self._references = [[tokenise(t, lowercase) for t in texts] for texts in held.texts]
        self._cider = CiderD(self._references)

    def __call__(self, executor: Executor) -> dict[str, float]:
        """Return the measures with the weights that the executor holds."""
        weights = executor.weights()
        self._speaker.load_weights(weights)
        self._likelihood.load_weights(weights)
        loss, told, start = 0.0, [], 0
        for data in self.feed.all():
            self._speaker.see(data)
            best = beam_search(self._speaker, beams=1, max_length=self._longest)
            told += [self._vocabulary.tokens(list(found[0].tokens)) for found in best]
            loss += self._loss(data, start)
            start += len(data)
        bleu = bleu_scores(bleu_statistics(told, self._references).sum(axis=0))
        cider = self._cider.score(np.arange(len(told)), told)
        values = (
            loss / self._groups.weight_of(np.arange(len(self._groups))),
            float(bleu[3]),
            float(rouge_l(told, self._references).mean()),
            float(cider.mean()),
        )
        return dict(zip(MEASURES, values, strict=True))

    def _loss(self, data: np.ndarray, start: int) -> float:
        """Return the summed loss of all captions of a batch of images."""
        groups = self._groups
        mine = np.flatnonzero((groups.images >= start) & (groups.images < start + len(data)))
        arrays = groups.arrays(mine, int(groups.lengths.max()))
        inputs = {self.feed.name: data[groups.images[mine] - start], **arrays}
        return float(self._losses.forward(inputs).sum(dtype=np.float64))


@dataclass(frozen=True)
class Recipe:
    """How batches are made: images a step, and the seed of their order."""

    batch_size: int
    seed: int


class LikelihoodTask:
    """Learns to give each next word of the captions a high probability.

    What the loop trains: see :class:`diglot.training.Task`. Captions are filled up to one of a
    few lengths, the buckets. A batch holds one bucket, so that little is filled; but not where
    the encoder learns: batch normalisation would learn what images of one bucket have in common
    (images with more objects have longer captions), and not know it when captions are generated.

    Parameters
    ----------
    feed : Feed
        The images.
    groups : Groups
        Their captions.
    recipe : Recipe
        How batches are made.
    judge : Judge, optional
        Measures how good the model is.
    mixed : bool
        Whether a batch may hold captions of all lengths.
    """

    metrics: Sequence[str] = ("loss",)

    def __init__(
        self,
        feed: Feed,
        groups: Groups,
        recipe: Recipe,
        judge: Judge | None = None,
        *,
        mixed: bool = False,
    ) -> None:
        self._feed, self._groups, self._recipe, self._judge = feed, groups, recipe, judge
        self._mixed = mixed
        self._bounds = np.array(bucket_bounds(groups.lengths))
        bucket = np.searchsorted(self._bounds, groups.lengths)
        if mixed:
            bucket = np.zeros_like(bucket)
        self._buckets = [np.flatnonzero(bucket == i) for i in np.unique(bucket)]
        self._parts = [-(-len(rows) // recipe.batch_size) for rows in self._buckets]
        self.rows, self.steps = len(groups), sum(self._parts)

    def padding(self, epoch: int = 0) -> float:
        """Return the share of words that are only there to fill up."""
        room = sum(length * len(rows) for length, rows in self._order(epoch)) * self._groups.width
        return 1 - self._groups.words.sum() / room

    def _order(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        """Return length and groups of each step."""
        numbers, steps = stream(self._recipe.seed, "shuffle", epoch), []
        for rows, parts in zip(self._buckets, self._parts, strict=True):
            steps += np.array_split(rows[numbers.permutation(len(rows))], parts)
        return [(self._length(steps[i]), steps[i]) for i in numbers.permutation(len(steps))]

    def _length(self, rows: np.ndarray) -> int:
        longest = self._groups.lengths[rows].max()
        return int(self._bounds[np.searchsorted(self._bounds, longest)])

    def weight_of(self, steps: int, epoch: int) -> float:
        """Return the words' weights summed up over an epoch's first steps."""
        return sum(self._groups.weight_of(rows) for _, rows in self._order(epoch)[:steps])

    def batches(self, epoch: int, start: int) -> Iterator[Mapping[str, np.ndarray]]:
        """Yield images, tokens, targets and weights of each step."""
        order = self._order(epoch)[start:]
        images = [self._groups.images[rows] for _, rows in order]
        for position, data in self._feed.batches(images, epoch):
            length, rows = order[position]
            yield {self._feed.name: self._feed.seen(data), **self._groups.arrays(rows, length)}

    def validate(self, executor: Executor) -> dict[str, float]:
        """Return the judge's measures."""
        return self._judge(executor) if self._judge else {}


class SelfCriticalTask:
    """Learns from its own captions: those that score better than their fellows get likelier.

    Rennie et al. (2017), Self-critical sequence training for image captioning,
    doi:10.1109/CVPR.2017.131, with the mean of the other samples of an image as the baseline as
    in Luo (2020), A better variant of self-critical sequence training, arXiv:2003.09971. The
    reward is CIDEr-D, in which the end of a caption counts as a word: else captions would learn
    to break off.

    Parameters
    ----------
    feed : Feed
        The images.
    references : sequence of sequences of sequences of int
        The coded captions of each image.
    recipe : Recipe
        How batches are made.
    executor : Executor
        Whose weights learn.
    speaker : Speaker
        Generates captions; it gets the weights of the moment.
    samples : int
        Captions an image.
    longest : int
        How many words a caption may have.
    judge : Judge, optional
        Measures how good the model is.
    """

    metrics: Sequence[str] = ("loss", "reward")

    def __init__(
        self,
        feed: Feed,
        references: Sequence[Sequence[Sequence[int]]],
        recipe: Recipe,
        executor: Executor,
        speaker: Speaker,
        samples: int,
        longest: int,
        judge: Judge | None,
    ) -> None:
        self._feed, self._recipe, self._judge = feed, recipe, judge
        self._executor, self._speaker = executor, speaker
        self._samples, self._longest = samples, longest
        self._cider = CiderD(references, end=True)
        self.rows = len(feed)
        self.steps = -(-self.rows // recipe.batch_size)

    def _order(self, epoch: int) -> list[np.ndarray]:
        order = stream(self._recipe.seed, "shuffle", epoch).permutation(self.rows)
        return np.array_split(order, self.steps)

    def weight_of(self, steps: int, epoch: int) -> float:
        """Return how many images an epoch's first steps have."""
        return float(sum(map(len, self._order(epoch)[:steps])))

    def batches(self, epoch: int, start: int) -> Iterator[Mapping[str, np.ndarray]]:
        """Yield images with sampled captions, weighted by how much better than others they are."""
        order = self._order(epoch)[start:]
        for position, data in self._feed.batches(order, epoch):
            rows, data = order[position], self._feed.seen(data)
            self._speaker.load_weights(self._executor.weights())
            self._speaker.see(data)
            streams = [stream(self._recipe.seed, "sample", epoch, int(row)) for row in rows]
            told = sample(
                self._speaker,
                samples=self._samples,
                max_length=self._longest + 1,  # that is the end of the longest
                streams=streams,
            )
            captions = [
                [(*h.tokens, END) if h.ended else h.tokens for h in found] for found in told
            ]
            reward = self._rewards(rows, captions)
            yield {
                self._feed.name: data,
                **_weighted(captions, advantages(reward), self._longest + 1),
                "reward": reward.mean(axis=1, keepdims=True).astype(np.float32),
            }

    def _rewards(self, rows: np.ndarray, captions: list[list[tuple[int, ...]]]) -> np.ndarray:
        flat = [caption for found in captions for caption in found]
        scores = self._cider.score(np.repeat(rows, self._samples), flat)
        return scores.reshape(len(rows), self._samples)

    def validate(self, executor: Executor) -> dict[str, float]:
        """Return the judge's measures."""
        return self._judge(executor) if self._judge else {}


def advantages(rewards: np.ndarray) -> np.ndarray:
    """Return how much each reward is above the mean of the others of its row.

    Examples
    --------
    >>> advantages(np.array([[1.0, 2.0, 6.0]])).tolist()
    [[-3.0, -1.5, 4.5]]
    """
    count = rewards.shape[1]
    return (rewards - rewards.mean(axis=1, keepdims=True)) * (count / (count - 1))


def _weighted(
    captions: Sequence[Sequence[Sequence[int]]], weights: np.ndarray, longest: int
) -> dict[str, np.ndarray]:
    """Return tokens, targets and weights: each word of a caption has the caption's weight."""
    # Rounded up, so that there are few lengths to plan memory for.
    length = max(len(caption) for found in captions for caption in found)
    length = min(longest, -(-length // 4) * 4)
    shape = (*weights.shape, length)
    tokens, target, weight = (np.zeros(shape, np.float32) for _ in range(3))
    tokens[:, :, 0] = BEGIN
    for row, found in enumerate(captions):
        for column, ids in enumerate(found):
            count = len(ids)
            tokens[row, column, 1:count] = ids[: count - 1]
            target[row, column, :count] = ids
            weight[row, column, :count] = weights[row, column] / len(found)
    return {"tokens": tokens, "target": target, "weight": weight}
