# Captioners: the same ways in as for classifiers, with captions in the place of labels.

#' Train an image captioner
#'
#' `image_captioner()` trains a network that describes images in words: an encoder, which is a
#' convolutional or other network of the catalogue, sees the image, and a recurrent decoder tells
#' what there is, word by word, looking at another part of the image for each word (attention).
#'
#' @section Captions:
#' Each image has one caption or several. They come as
#' - a character column, one caption a row; rows with the same image are one image with several
#'   captions;
#' - a list-column of character vectors, as [shapes()] and [read_captions()] give them.
#'
#' The order of the rows does not matter.
#'
#' @section Settings:
#' `...` takes the settings, which have the same names and defaults as in Python:
#' \describe{
#'   \item{`encoder = "convnet"`}{a name from [networks()], what [network()] or [pretrained()]
#'     returns, or a fit of [image_classifier()], [image_regressor()] or [image_tagger()], whose
#'     network it takes.}
#'   \item{`decoder = "lstm"`}{`"lstm"` or `"gru"`.}
#'   \item{`attention = TRUE`}{whether the decoder looks at the cells of the encoder's grid for each
#'     word, or sees the image once, as one vector.}
#'   \item{`layers = 1`, `hidden = 256`, `embedding = 128`}{recurrent layers, their width, and how
#'     many numbers stand for a word.}
#'   \item{`heads = 4`}{of the attention; `hidden` must be a multiple of it.}
#'   \item{`tied = FALSE`}{whether words have the same numbers going in and coming out.}
#'   \item{`dropout = 0.5`}{the share of the decoder's numbers that is dropped in training.}
#'   \item{`layer = NULL`}{the encoder's layer that the decoder sees; by default the last that keeps
#'     places, or without attention the one before the head.}
#'   \item{`size = NULL`, `channels = NULL`, `resize = NULL`}{as in [image_classifier()].}
#'   \item{`train = "auto"`}{what learns: everything (`"all"`), the `"decoder"`, or first that and
#'     then everything (`"decoder_then_all"`). `"auto"` is the decoder where the encoder came with
#'     weights, whose features are then computed once for each image; else everything.}
#'   \item{`encoder_rate = NULL`}{the encoder's learning rate, as a part of the decoder's: by
#'     default 0.1 where it came with weights, else 1.}
#'   \item{`views = NULL`}{with `augment` and a frozen encoder: how many changed views of each
#'     image.}
#'   \item{`min_count = 1`, `max_words = NULL`, `lowercase = TRUE`}{the vocabulary: words that occur
#'     less often are unknown, so many at most are known, and whether captions are learned in small
#'     letters.}
#'   \item{`max_length = NULL`}{longer captions are cut in training, and none is generated with more
#'     words; by default the longest training caption decides.}
#'   \item{`epochs = 20`}{passes through the captions (`c(2, 10)` for `"decoder_then_all"`).}
#'   \item{`self_critical = 0`}{epochs after that in which the captioner learns from captions of its
#'     own: those that score better in CIDEr-D become more likely (Rennie and others 2017,
#'     \doi{10.1109/CVPR.2017.131}).}
#'   \item{`batch_size = 32`}{images in a step.}
#'   \item{`optimizer = "adam"`, `learning_rate = NULL`, `momentum = 0.9`, `weight_decay = 0`,
#'     `schedule = "cosine"`, `warmup_epochs = 0`, `clip_norm = 1`}{as in [image_classifier()].}
#'   \item{`label_smoothing = 0.1`}{this share of each word's probability goes evenly to all
#'     words.}
#'   \item{`augment = NULL`}{random changes to the training images, as in [image_classifier()]. A
#'     change that makes captions wrong, such as a flip where they speak of left and right, does
#'     harm.}
#'   \item{`validation = NULL`}{the share of the images to hold out, or data: a data frame like
#'     `data` for a formula, `list(x, captions)` otherwise.}
#'   \item{`patience = NULL`, `monitor = "val_cider_d"`, `restore_best = TRUE`}{epochs without
#'     improvement of `monitor` after which to stop; whether the best weights are taken. The others
#'     are `"val_bleu_4"`, `"val_rouge_l"`, all of generated captions, and `"val_loss"`.}
#'   \item{`callbacks = NULL`, `checkpoint = NULL`, `checkpoint_every = NULL`, `resume = NULL`,
#'     `device = "auto"`, `engine = "auto"`}{as in [image_classifier()].}
#'   \item{`precision = "auto"`}{with which numbers the encoder sees images on a processor when
#'     captions are generated: `"float32"`, or `"int8"`, integers of 8 bits, which are several times
#'     as fast for large encoders. `"auto"` takes them where the decoder then chooses the same next
#'     word as with float32 for 99.5 % of the words of some training images' captions, each by the
#'     words before it, and where that is faster on this machine.}
#'   \item{`memory_limit = NULL`, `threads = NULL`, `seed = NULL`, `verbose = "auto"`}{as in
#'     [image_classifier()].}
#' }
#'
#' @inheritSection image_classifier Images
#' @inheritSection image_classifier When it is cut short
#'
#' @param x,formula A formula such as `caption ~ image`: the captions, and the one column of images;
#'   or a data frame with a column `image` (or one column only), an array, a list of arrays or a
#'   vector of file names.
#' @param data A data frame with the variables of the formula.
#' @param captions The captions of each image: a character vector, or a list of character vectors.
#' @param ... Settings, see below.
#'
#' @return An object of class `diglot_captioner`. See [predict()][predict.diglot_captioner],
#'   [evaluate()][evaluate.diglot_captioner], [plot()][plot.diglot_captioner],
#'   [tidy()][tidy.diglot_captioner] and [fingerprint()] for what can be done with it, and
#'   [save_model()] to hand it to Python.
#' @references
#' O. Vinyals and others: Show and Tell, CVPR 2015, \doi{10.1109/CVPR.2015.7298935}.
#' K. Xu and others: Show, Attend and Tell, ICML 2015,
#' [arXiv:1502.03044](https://arxiv.org/abs/1502.03044). J. Lu and others: Knowing When to Look,
#' CVPR 2017, \doi{10.1109/CVPR.2017.345}.
#' @export
#' @examplesIf diglot_available()
#' data <- shapes(60, seed = 1, size = 32)
#' fit <- image_captioner(captions ~ image, data, hidden = 32, epochs = 1, seed = 1)
#' fit
#' predict(fit, data[1:3, ])
image_captioner <- function(x, ...) {
  UseMethod("image_captioner")
}

#' @rdname image_captioner
#' @export
image_captioner.formula <- function(formula, data = NULL, ...) {
  call <- called("image_captioner", match.call())
  fit_captioner(training_data(formula, data, ..., known = names(captioner_defaults())), call)
}

#' @rdname image_captioner
#' @export
image_captioner.data.frame <- function(x, captions = NULL, ...) {
  call <- called("image_captioner", match.call())
  given <- training_data(x, captions, ..., known = names(captioner_defaults()))
  given$names <- c("x", "captions")
  fit_captioner(given, call)
}

#' @rdname image_captioner
#' @export
image_captioner.default <- image_captioner.data.frame

# The settings of a captioner and their defaults, the same as Python's (a test compares them).
captioner_defaults <- function() {
  list(
    encoder = "convnet", decoder = "lstm", attention = TRUE, layers = 1, hidden = 256,
    embedding = 128, heads = 4, tied = FALSE, dropout = 0.5, layer = NULL, size = NULL,
    channels = NULL, resize = NULL, train = "auto", encoder_rate = NULL, views = NULL,
    min_count = 1, max_words = NULL, lowercase = TRUE, max_length = NULL, epochs = 20,
    self_critical = 0, batch_size = 32, optimizer = "adam", learning_rate = NULL, momentum = 0.9,
    weight_decay = 0, schedule = "cosine", warmup_epochs = 0, clip_norm = 1,
    label_smoothing = 0.1, augment = NULL, validation = NULL, patience = NULL,
    monitor = "val_cider_d", restore_best = TRUE, callbacks = NULL, checkpoint = NULL,
    checkpoint_every = NULL, resume = NULL, device = "auto", engine = "auto",
    precision = "auto", memory_limit = NULL, threads = NULL, seed = NULL, verbose = "auto"
  )
}

# ---- the bridge

fit_captioner <- function(given, call, env = rlang::caller_env()) {
  if (!is.null(given$weights)) {
    abort_diglot("`image_captioner()` takes no `weights`.", call = env)
  }
  count <- image_count(given$images)
  captions <- caption_payload(given$labels, count, given$names[2L], env)
  validation <- caption_validation(given$settings$validation, env)
  images <- image_payload(given$images, given$names[1L], env)
  run <- run_payload(given$settings, env)
  wrap <- function(answer) {
    new_captioner(
      answer,
      call = call, terms = given$terms, captions = length(captions$values), rows = count
    )
  }
  wrap(call_bridge(
    "fit_captioner", images, captions, run$settings, validation, run$callback, run$progress,
    call = env, on_model = wrap
  ))
}

caption_validation <- function(validation, call) {
  if (!has_validation_data(validation, call)) {
    return(NULL)
  }
  captions <- caption_payload(
    validation[[2L]], image_count(validation[[1L]]), "validation", call
  )
  list(image_payload(validation[[1L]], "validation", call), captions)
}

new_captioner <- function(answer, call = NULL, terms = list(), captions = NA_integer_,
                          rows = NA_integer_) {
  about <- answer$description
  new_model(
    answer,
    words = text_from(about$words), longest = about$longest, decoder = about$decoder,
    captions = captions, rows = rows,
    call = call, terms = terms, class = "diglot_captioner"
  )
}
