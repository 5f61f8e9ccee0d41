"""``ImageCaptioner``: a scikit-learn style estimator that learns to describe images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from diglot.augment import Augment, augment
from diglot.batching import Halving, score_batch
from diglot.builder import initial_weights
from diglot.captioner.captioned import Captioned, caption_lists, codes, gather, held_out
from diglot.captioner.decoder import Decoder
from diglot.captioner.decoding import Hypothesis, beam_search, sample
from diglot.captioner.encoder import encoder_end
from diglot.captioner.fitting import Fit, Rows, plan_phases, run_fit
from diglot.captioner.graphs import caption_graph, context_graph, encoder_of, seen_places
from diglot.captioner.model_file import metadata
from diglot.captioner.precision import ANSWERS, calibrate_int8
from diglot.captioner.settings import MOST_WORDS, check_settings
from diglot.captioner.speaker import Speaker
from diglot.captions.vocabulary import Vocabulary
from diglot.engine import Device, Scorer, open_executor
from diglot.errors import DivergedError, InputError
from diglot.estimators.base import NetworkEstimator, last_measures, place_told
from diglot.estimators.inputs import check_channels, input_spec, standardised
from diglot.estimators.phases import Fitted
from diglot.estimators.precision import WithPrecision, with_precision
from diglot.estimators.settings import epochs as epochs_of
from diglot.estimators.settings import flag, keep_settings, number, optimiser, whole
from diglot.evaluation import evaluate_captions
from diglot.graph import Graph, InputSpec
from diglot.images import ImageSet, as_images, batches
from diglot.networks import refit, resolve
from diglot.progress import reporter
from diglot.seeds import check_seed, stream
from diglot.weighted import describe

_RATES = {"sgd": 0.05, "adam": 2e-3, "adamw": 2e-3}
_SELF_CRITICAL = 0.05  # of the learning rate before: the model is to be refined, not to be upset
_GIVEN_ENCODER = 0.1  # an encoder with weights learns more slowly than the new decoder
_MOST_TOGETHER = 5  # captions of an image in one step
_IMAGES = 64  # at a time when captions are generated


@dataclass(frozen=True)
class Caption:
    """A caption of an image, and how the model came to it.

    Attributes
    ----------
    text : str
        The caption.
    words : tuple of str
        Its words.
    log_probability : float
        Natural logarithm of its probability, that of ending included.
    score : float
        What beam search ranks by: the log-probability, normalised for length.
    ended : bool
        Whether it ended before it had as many words as it may have, where it has to.
    attention : array (words, height, width) or None
        Where the model looked for each word: shares of the encoder's grid that sum to 1 (less
        what a transformer's class token takes), averaged over the heads of the last layer.
    """

    text: str
    words: tuple[str, ...]
    log_probability: float
    score: float
    ended: bool
    attention: np.ndarray | None = field(default=None, repr=False, compare=False)


class ImageCaptioner(WithPrecision, NetworkEstimator):
    """Learn to describe images: a convolutional encoder and a recurrent decoder.

    Parameters
    ----------
    encoder : str, Graph, path, MXNet symbol or Gluon HybridBlock
        A name of the catalogue (see `diglot.networks`), a network such as `diglot.pretrained`
        returns or a fitted model's ``network_``, or a file of MXNet's JSON.
    decoder : {"lstm", "gru"}
        Long short-term memory (Hochreiter and Schmidhuber, 1997) or gated recurrent units
        (Cho et al., 2014).
    attention : bool
        Whether the decoder looks at the cells of the encoder's grid for each word, or sees the
        image once, as one vector (Vinyals et al., 2015).
    layers, hidden : int
        Recurrent layers, and the width of their states.
    embedding : int
        Numbers a word.
    heads : int
        Of the attention; they divide ``hidden`` among them.
    tied : bool
        Whether words have the same numbers going in and coming out (Press and Wolf, 2017).
    dropout : float
        Share of the decoder's numbers dropped in training.
    layer : str, optional
        The encoder's layer that the decoder sees; by default the last that keeps places, or
        without attention the one before the head.
    size, channels, resize
        As in `ImageClassifier`.
    train : {"auto", "all", "decoder", "decoder_then_all"}
        What learns. "auto": the decoder where the encoder came with weights, whose features are
        then computed once for each image; else everything.
    encoder_rate : float, optional
        The encoder's learning rate, as a part of the decoder's: by default 0.1 where it came
        with weights, else 1.
    views : int, optional
        With ``augment`` and a frozen encoder: how many changed views of each image.
    min_count : int
        Words that occur less often are unknown.
    max_words : int, optional
        The largest vocabulary; the most frequent words are kept.
    lowercase : bool
        Whether captions are learned in small letters.
    max_length : int, optional
        Longer captions are cut in training, and none is generated with more words; by default
        the longest training caption decides.
    epochs : int or (int, int)
        Passes over all captions; for "decoder_then_all" of the decoder and of everything, where
        one number is for everything and the decoder has one epoch.
    self_critical : int
        Epochs after that in which the captioner learns from captions of its own: those that
        score better in CIDEr-D become more likely (Rennie et al., 2017). The learning rate is a
        twentieth.
    batch_size : int
        Images a step.
    optimizer, momentum, weight_decay, schedule, warmup_epochs, clip_norm
        As in `ImageClassifier`.
    learning_rate : float, optional
        The largest; by default 0.002 for Adam and AdamW, 0.05 for SGD.
    label_smoothing : float
        This share of each word's probability goes evenly to all words.
    augment : str, dict, Augment or None
        Random changes of the images in training; see `diglot.augment`. A change that makes
        captions wrong, such as a flip where they speak of left and right, does harm.
    validation : float, optional
        Hold out this share of the images; or give ``validation_data`` to `fit`.
    patience : int, optional
        Stop after so many epochs without a better ``monitor``.
    monitor : {"val_cider_d", "val_bleu_4", "val_rouge_l", "val_loss"}
        What decides which epoch is best. All but the last are of generated captions.
    restore_best, callbacks, checkpoint, checkpoint_every, resume, device, engine
        As in `ImageClassifier`.
    precision : {"auto", "float32", "int8", "mixed"}
        With which numbers the encoder sees images on a CPU when captions are generated. 8-bit
        integers are several times as fast for large encoders; what they need is measured on
        training images at the end of a fit. "auto" takes them where the decoder then chooses the
        same next word as with float32 for 99.5 % of the words of these images' captions, each by
        the words before it, and where that is faster on this machine.
    memory_limit, threads
        As in `ImageClassifier`.
    seed : int, optional
        Of everything random; the same seed gives the same weights, to the byte. None draws one.
    verbose : {"auto", True, False} or callable
        Progress; see `diglot.progress.reporter`.

    Attributes
    ----------
    vocabulary_ : Vocabulary
        The words.
    network_ : Graph
        Encoder and decoder with their weights.
    history_ : DataFrame
        One row an epoch: epoch, loss (per word), with validation val_loss (per word, without
        label smoothing), val_bleu_4, val_rouge_l and val_cider_d, in self-critical epochs reward
        (CIDEr-D of the samples); learning_rate, seconds, images_per_second.
    longest_ : int
        How many words a caption has at most.
    int8_ : Int8 or None
        What seeing with 8-bit integers needs, and for how many words it chooses as float32 does.
    best_epoch_, seed_, device_, engine_, stopped_
        As in `ImageClassifier`.

    Notes
    -----
    Images are given as to `ImageClassifier`. Rows with the same image are one image with several
    captions, and the order of rows does not matter.

    The state looks at the grid after each word, not before (Lu et al., 2017, Knowing when to
    look, doi:10.1109/CVPR.2017.345), with several heads of scaled dot products (Luong et al.,
    2015; Vaswani et al., 2017): so a whole caption goes through the recurrent layer in one call.

    Examples
    --------
    >>> from diglot import ImageCaptioner, shapes
    >>> data = shapes(40, seed=1)
    >>> model = ImageCaptioner(epochs=1, seed=1).fit(data[["image"]], data["captions"])
    >>> model.predict(data[["image"]][:2]).shape
    (2,)
    """

    def __init__(
        self,
        encoder: Any = "convnet",
        *,
        decoder: str = "lstm",
        attention: bool = True,
        layers: int = 1,
        hidden: int = 256,
        embedding: int = 128,
        heads: int = 4,
        tied: bool = False,
        dropout: float = 0.5,
        layer: str | None = None,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        resize: str | None = None,
        train: str = "auto",
        encoder_rate: float | None = None,
        views: int | None = None,
        min_count: int = 1,
        max_words: int | None = None,
        lowercase: bool = True,
        max_length: int | None = None,
        epochs: int | tuple[int, int] = 20,
        self_critical: int = 0,
        batch_size: int = 32,
        optimizer: str = "adam",
        learning_rate: float | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        warmup_epochs: float = 0,
        clip_norm: float | None = 1.0,
        label_smoothing: float = 0.1,
        augment: str | dict[str, Any] | Augment | None = None,
        validation: float | None = None,
        patience: int | None = None,
        monitor: str = "val_cider_d",
        restore_best: bool = True,
        callbacks: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: str | os.PathLike[str] | bool | None = None,
        device: str | Sequence[str] = "auto",
        engine: str = "auto",
        precision: str = "auto",
        memory_limit: int | None = None,
        threads: int | None = None,
        seed: int | None = None,
        verbose: Any = "auto",
    ) -> None:
        keep_settings(self, locals())

    # ---- training

    def fit(
        self, X: Any, captions: Any, validation_data: tuple[Any, Any] | None = None
    ) -> ImageCaptioner:
        """Learn to describe images.

        Parameters
        ----------
        X : images
            See the class's notes.
        captions : sequence of n texts, or of n lists of texts
            One caption or several of each image.
        validation_data : (X, captions), optional
            Images to judge each epoch by, instead of ``validation``.

        Returns
        -------
        self

        Raises
        ------
        InputError, ImageError
            If an argument, image or caption cannot be used; the message names it.
        DivergedError
            If the loss is no longer finite; the best weights seen before are kept.
        """
        check_settings(self)
        images = as_images(X)
        texts = caption_lists(captions, len(images))
        seed = self._seed()
        with self._fit_of(images, texts, validation_data, seed) as fit:
            points, resume = self._checkpoints()
            try:
                fitted = run_fit(
                    fit,
                    reporter=reporter(self.verbose),
                    callbacks=self.callbacks,
                    checkpoints=points,
                    resume=resume,
                )
            except DivergedError as error:
                if error.model is not None:
                    self._settled(error.model, fit)
                    error.model = self
                raise
            self._settled(fitted, fit)
            self._try_integers(fit)
        return self

    @contextmanager
    def _fit_of(
        self,
        images: ImageSet,
        texts: Sequence[Sequence[str]],
        validation_data: tuple[Any, Any] | None,
        seed: int,
    ) -> Iterator[Fit]:
        """Decide everything about a fit; images are open as long as it goes on."""
        device = with_precision(self._picked_device(), self.precision)
        spec = input_spec(self.encoder, images, self.size, self.channels, self.resize)
        encoder = _resolved(self.encoder, spec)
        given = encoder.weights is not None
        train = self._train(given)
        end = encoder_end(encoder, self.attention, self.layer)
        with ExitStack() as opened:
            ready = opened.enter_context(self._prepared(images, encoder))
            captioned, digest = gather(ready.keys(), texts)
            held = None
            if validation_data is not None:
                held_images, held, more = self._held_out(validation_data, encoder)
                opened.enter_context(held_images)
                digest = hashlib.sha256((digest + more).encode()).hexdigest()
            elif self.validation is not None:
                chosen = held_out(len(captioned), float(self.validation), seed)
                held_images, held = ready, captioned.take(np.flatnonzero(chosen))
                captioned = captioned.take(np.flatnonzero(~chosen))
            if not given:
                encoder = standardised(encoder, ready, captioned.places)
                ready.spec = encoder.input
            vocabulary = self._vocabulary(captioned)
            longest = None if self.max_length is None else int(self.max_length)
            coded = codes(captioned, vocabulary, longest)
            longest = longest or max(len(ids) for mine in coded for ids in mine)
            rows, judged = Rows(ready, captioned, coded), None
            if held is not None:
                held_images.spec = encoder.input
                self._check_judges(len(held))
                judged = Rows(held_images, held, codes(held, vocabulary, longest, judged=True))
            # Captions of its own are compared with each other, so there must be two.
            least = 2 if self.self_critical else 1
            width = max(least, min(_MOST_TOGETHER, max(map(len, coded))))
            decoder = self._decoder(len(vocabulary))
            graph = caption_graph(encoder, end, decoder, width, longest + 1)
            rate = _RATES[self.optimizer] if self.learning_rate is None else self.learning_rate
            slower = _GIVEN_ENCODER if given else 1.0
            yield Fit(
                graph=graph.with_weights(initial_weights(graph, seed)),
                decoder=decoder,
                vocabulary=vocabulary,
                width=width,
                longest=longest,
                train=rows,
                held=judged,
                batch_size=int(self.batch_size),
                smoothing=float(self.label_smoothing),
                augment=augment(self.augment),
                optimiser=optimiser(self),
                device=device,
                phases=plan_phases(
                    graph,
                    train,
                    epochs_of(self.epochs),
                    (float(rate), _SELF_CRITICAL * float(rate)),
                    slower if self.encoder_rate is None else float(self.encoder_rate),
                    int(self.self_critical),
                ),
                plan=self._plan(seed, judged=judged is not None),
                run=self._run(graph, digest, seed),
                views=None if self.views is None else int(self.views),
                memory_limit=self.memory_limit,
                threads=self.threads,
            )

    def _train(self, given: bool) -> str:
        """Return what learns."""
        if self.train == "auto":
            return "decoder" if given else "all"
        if self.train != "all" and not given:
            raise InputError(
                f"train={self.train!r} needs an encoder with weights, such as pretrained() "
                f"returns; {self.encoder!r} has none"
            )
        return self.train

    def _vocabulary(self, captioned: Captioned) -> Vocabulary:
        texts = (text for mine in captioned.texts for text in mine)
        most = None if self.max_words is None else int(self.max_words)
        made = Vocabulary.build(
            texts, min_count=int(self.min_count), max_size=most, lowercase=bool(self.lowercase)
        )
        if not made.words:
            raise InputError(f"no word occurs {self.min_count} times: lower min_count")
        return made

    def _decoder(self, words: int) -> Decoder:
        return Decoder(
            words=words,
            cell=self.decoder,
            hidden=int(self.hidden),
            layers=int(self.layers),
            embedding=int(self.embedding),
            heads=int(self.heads) if self.attention else 0,
            tied=bool(self.tied),
            dropout=float(self.dropout),
        )

    def _held_out(self, data: tuple[Any, Any], encoder: Graph) -> tuple[Any, Captioned, str]:
        """Return the images to judge by, with their captions, and what identifies them."""
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise InputError("validation_data must be a pair: images and captions")
        images = as_images(data[0])
        check_channels(images, encoder.input)
        texts = caption_lists(data[1], len(images))
        ready = self._prepared(images, encoder)
        captioned, digest = gather(ready.keys(), texts)
        return ready, captioned, digest

    def _check_judges(self, images: int) -> None:
        if images == 1 and self.monitor == "val_cider_d":
            raise InputError(
                "only one image is there to judge by, and CIDEr-D is 0 for every caption of a "
                'single image: hold out more, or give monitor="val_loss"'
            )

    def _try_integers(self, fit: Fit) -> None:
        """Measure what the encoder needs to see with integers, where that may be wanted."""
        measure = partial(calibrate_int8, self.network_, fit)
        self._calibrate(encoder_of(self.network_), self.stopped_, measure)

    def _settled(self, fitted: Fitted, fit: Fit) -> None:
        """Set the fitted attributes."""
        self.int8_ = None  # that was of other weights
        self.decoder_, self.vocabulary_, self.longest_ = fit.decoder, fit.vocabulary, fit.longest
        self.places_ = seen_places(fitted.graph, fit.decoder)
        self._settle(fitted, fit.plan.seed, fit.device)

    # ---- answers

    def predict(
        self,
        X: Any,
        beams: int = 5,
        *,
        length_penalty: float = 1.0,
        max_length: int | None = None,
        temperature: float | None = None,
        top_p: float = 1.0,
        samples: int = 1,
        seed: int | None = None,
        return_all: bool = False,
    ) -> Any:
        """Describe images.

        Parameters
        ----------
        X : images
        beams : int
            Captions followed at once in beam search; 1 takes the most probable word each time.
        length_penalty : float
            Scores are log-probabilities over ``((5 + length) / 6) ** length_penalty`` (Wu et al.,
            2016); 0 favours short captions.
        max_length : int, optional
            Most words; by default ``longest_``.
        temperature : float, optional
            Draw the words at random instead of searching; below 1 the likely become likelier.
        top_p : float
            Draw from the most probable words that make up this share only (nucleus sampling,
            Holtzman et al., 2020).
        samples : int
            Captions drawn for each image.
        seed : int, optional
            Of the draws; by default ``seed_``.
        return_all : bool
            Return all captions that were found, with probabilities and attention.

        Returns
        -------
        ndarray of n texts, or list of n lists of Caption
            The best caption of each image, of drawn ones the first; with ``return_all`` its
            ``beams`` best, the best first, or its ``samples`` in the order in which they were
            drawn.

        Raises
        ------
        InputError
            If an argument cannot be used.
        """
        check_is_fitted(self)
        whole("beams", beams, 1)
        whole("samples", samples, 1)
        flag("return_all", return_all)
        longest = self.longest_ if max_length is None else whole("max_length", max_length, 1)
        if longest > MOST_WORDS:
            raise InputError(f"max_length must be at most {MOST_WORDS:,}, not {max_length!r}")
        if temperature is not None:
            number("temperature", temperature, lambda v: v > 0, "a positive number")
        number("top_p", top_p, lambda v: 0 < v <= 1, "above 0 and at most 1")
        number("length_penalty", length_penalty, lambda v: 0 <= v <= 10, "from 0 to 10")
        drawn = temperature is not None or top_p < 1
        seed = self.seed_ if seed is None else check_seed(seed)

        def tell(speaker: Speaker, first: int, count: int) -> list[list[Hypothesis]]:
            # One word more: that is the caption's end.
            if not drawn:
                return beam_search(
                    speaker,
                    beams=int(beams),
                    max_length=longest + 1,
                    length_penalty=float(length_penalty),
                    n_best=int(beams) if return_all else 1,
                    attention=return_all,
                )
            return sample(
                speaker,
                samples=int(samples),
                max_length=longest + 1,
                temperature=1.0 if temperature is None else float(temperature),
                top_p=float(top_p),
                streams=[stream(seed, "caption", first + i) for i in range(count)],
                attention=return_all,
            )

        told = self._told(X, tell, longest, attention=return_all)
        if return_all:
            return [[self._caption(h, longest) for h in found] for found in told]
        texts = np.empty(len(told), object)
        texts[:] = [self._caption(found[0], longest).text for found in told]
        return texts

    def _told(self, X: Any, tell: Any, longest: int, *, attention: bool) -> list[list[Hypothesis]]:
        """Generate captions for all images, some at a time."""
        images = as_images(X, allow_empty=True)
        if not len(images):
            return []
        check_channels(images, self.network_.input)
        count, step = len(images), min(_IMAGES, score_batch(self._seeing()))
        rows = [np.arange(i, min(i + step, count)) for i in range(0, count, step)]
        speaker, listener = self._speaker(attention), reporter(self.verbose)
        told: list[list[Hypothesis]] = []
        halving = Halving(speaker.device)

        def described(data: np.ndarray, first: int) -> list[list[Hypothesis]]:
            def some(mine: slice) -> list[list[Hypothesis]]:
                with self._runtime.lock:  # word by word; no other thread in between
                    speaker.longest = longest
                    speaker.see(data[mine])
                    return tell(speaker, first + mine.start, mine.stop - mine.start)

            return [one for found in halving.each(some, len(data)) for one in found]

        with self._prepared(images, self.network_, cache=False) as ready:
            listener.start("Captioning", count, "image")
            try:
                here = speaker.device.kind == "cpu"
                for _, data in batches(ready, rows, threads=self.threads, alternate=here):
                    told += described(data, len(told))
                    listener.step(len(told))
            finally:
                listener.finish()
        return told

    def _seeing(self) -> Graph:
        """Return the part of the network that looks at images."""
        return context_graph(self.network_, self.decoder_)

    def _speaker(self, attention: bool) -> Speaker:
        def make(device: Device) -> Speaker:
            encoder = self._integer_encoder()
            return Speaker(
                self.network_, self.decoder_, device, attention=attention, encoder=encoder
            )

        return self._kept(("speaker", attention, self.precision), make)

    def _integer_encoder(self) -> Scorer | None:
        """Return what sees images with integers, where that is wanted."""
        encoder = encoder_of(self.network_)
        return self._integers(encoder, partial(open_executor, encoder))

    def _caption(self, found: Hypothesis, longest: int) -> Caption:
        tokens, looked = found.tokens, found.attention
        if looked is not None:
            height, width, skipped = self.places_
            looked = looked[:, skipped:].reshape(-1, height, width)
        return Caption(
            text=self.vocabulary_.decode(tokens),
            words=tuple(self.vocabulary_.tokens(tokens)),
            log_probability=found.log_probability,
            score=found.score,
            ended=len(tokens) < longest,
            attention=looked,
        )

    def evaluate(
        self,
        X: Any,
        references: Any,
        *,
        beams: int = 5,
        level: float = 0.95,
        resamples: int = 1000,
        meteor: Any = "auto",
        **decoding: Any,
    ) -> pd.DataFrame:
        """Judge the captions by references that people wrote.

        Parameters
        ----------
        X : images
        references : sequence of n texts, or of n lists of texts
            Captions of each image; rows of the same image are one image.
        beams : int
            As in `predict`.
        level : float
            Of the intervals, by bootstrap over images.
        resamples : int
            Of the bootstrap.
        meteor : {"auto", True, False}
            Whether to compute METEOR, which needs Java; "auto" where it is there.
        **decoding
            More arguments of `predict`, such as ``length_penalty``.

        Returns
        -------
        DataFrame
            metric, estimate, lower, upper, method, n; see
            `diglot.evaluation.evaluate_captions`.
        """
        check_is_fitted(self)
        if "return_all" in decoding:
            raise InputError("evaluate() judges one caption an image: leave return_all out")
        images = as_images(X)
        texts = caption_lists(references, len(images), "reference")
        with self._prepared(images, self.network_, cache=False) as ready:
            captioned, _ = gather(ready.keys(), texts)
        told = self.predict(images.take(captioned.places), beams, **decoding)
        return evaluate_captions(
            told.tolist(),
            captioned.texts,
            level=level,
            resamples=resamples,
            seed=self.seed_,
            meteor=meteor,
            lowercase=self.vocabulary_.lowercase,
        )

    # ---- files and words

    def _metadata(self) -> dict[str, Any]:
        return metadata(self)

    def summary(self) -> str:
        """Return what the model is and how it was trained, in a few lines."""
        check_is_fitted(self)
        graph, spec, decoder = self.network_, self.network_.input, self.decoder_
        card = describe(graph)
        names = ("loss", "val_loss", "val_bleu_4", "val_cider_d", "reward")
        looks = f"attention with {decoder.heads} heads" if decoder.heads else "no attention"
        lines = [
            f"encoder      {graph.name.removesuffix(' captioner')}, {spec.height} x {spec.width} "
            f"pixels, {spec.channels} channel(s)",
            f"decoder      {decoder.cell.upper()}, {decoder.layers} layer(s) of {decoder.hidden}, "
            f"{looks}",
            f"words        {len(self.vocabulary_.words):,}, captions of at most {self.longest_}",
            f"parameters   {graph.parameter_count:,}",
            f"trained      {len(self.history_)} epochs on {place_told(self)}, seed {self.seed_}"
            f" ({self.stopped_})",
            *(f"{name:13}{card[name]}" for name in ("weights", "licence") if name in card),
            *([] if self.int8_ is None else [f"int8         {self.int8_.told(ANSWERS)}"]),
            f"last epoch   {last_measures(self.history_, names)}",
            f"fingerprint  {self.fingerprint()[:16]}",
        ]
        return "\n".join(lines)


def _resolved(encoder: Any, spec: InputSpec) -> Graph:
    """Return the encoder for an input; what is behind its last places is not needed."""
    if not isinstance(encoder, Graph):
        return resolve(encoder, spec, 1)
    return refit(encoder_of(encoder) if "tokens" in encoder.inputs else encoder, spec)
