# What newdata holds, and predictions from it.

#' Predict the classes of images
#'
#' Fewer than 16 images take as long as 16, so that an image's answer is the same whichever images
#' are with it: ask for many at once. Files are read a few at a time, whatever their number.
#'
#' @param object A fit, see [image_classifier()].
#' @param newdata Images: a data frame with the column that the formula names, or whatever
#'   [image_classifier()] takes as images.
#' @param type `"class"` for the most probable class, `"prob"` for the probability of each, `"set"`
#'   for a set of classes that holds the true one as often as `coverage` says, see [conformalize()].
#' @param coverage For `"set"`: how often a set shall hold the true class, between 0 and 1.
#' @param ... Not used.
#' @return A tibble with one row an image, in their order; no rows for no images. For `"class"` a
#'   column `.pred_class`, a factor with the levels of the training; for `"prob"` a column
#'   `.pred_<level>` for each level; for `"set"` the columns `.pred_set`, a list of factors with
#'   the levels of the training, and `.set_size`, how many classes are in each.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' predict(fit, digits[501:505, ])
#' predict(fit, digits[501:505, ], type = "prob")
predict.image_classifier <- function(object, newdata, type = c("class", "prob", "set"),
                                     coverage = 0.9, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  type <- check_type(type, c("class", "prob", "set"), env)
  if (missing(newdata)) {
    abort_diglot("`newdata` is missing: a fit does not keep its training images.", call = env)
  }
  if (type == "set") {
    return(set_columns(object, newdata, coverage, env))
  }
  prob <- class_probabilities(object, newdata, env)
  if (type == "prob") prob_columns(object, prob) else class_column(object, prob)
}

check_type <- function(type, choices, call) check_choice(type, choices, "type", call)

check_choice <- function(given, choices, what, call) {
  given <- given[1L]
  if (!is.character(given) || !given %in% choices) {
    abort_diglot(
      sprintf("`%s` must be one of %s, not %s.", what, quoted(choices), quoted(given)),
      call = call
    )
  }
  given
}

class_probabilities <- function(object, newdata, call) {
  level_matrix("predict_proba", numeric(), object, newdata, call = call)
}

# What a function of the bridge says of images: a matrix of the type of `none`, one row an image
# and one column a level.
level_matrix <- function(name, none, object, newdata, ..., call) {
  images <- newdata_images(object, newdata, "newdata", call)
  if (image_count(images) == 0L) {
    return(matrix(none, 0L, length(object$levels)))
  }
  payload <- image_payload(images, "newdata", call)
  call_bridge(name, live_model(object, call), payload, ..., call = call)
}

class_column <- function(object, prob) {
  best <- object$levels[max.col(prob, ties.method = "first")]
  tibble::tibble(.pred_class = factor(best, object$levels, ordered = object$ordered))
}

prob_columns <- function(object, prob) {
  columns <- lapply(seq_along(object$levels), function(j) prob[, j])
  names(columns) <- paste0(".pred_", object$levels)
  tibble::as_tibble(columns, .name_repair = "minimal")
}

#' Caption images
#'
#' @section Search and chance:
#' By default captions are searched for: beam search follows the `beams` most probable beginnings
#' word by word. With `temperature` or `top_p` they are drawn at random instead, each word by its
#' probability.
#'
#' @param object A fit, see [image_captioner()].
#' @param newdata Images: a data frame with the column that the formula names, or whatever
#'   [image_captioner()] takes as images.
#' @param beams How many captions are followed at once; 1 takes the most probable word each time.
#' @param type `"caption"` for the best caption of each image (of drawn ones the first), `"all"` for
#'   all that were found, with their probabilities and attention.
#' @param length_penalty Scores are log-probabilities over `((5 + length) / 6) ^ length_penalty`
#'   (Wu and others 2016, [arXiv:1609.08144](https://arxiv.org/abs/1609.08144)); 0 favours short
#'   captions.
#' @param max_length Most words of a caption; by default as many as the longest in training.
#' @param temperature Draw words at random; below 1 the likely become likelier.
#' @param top_p Draw from the most probable words that make up this share only (Holtzman and others
#'   2020, [arXiv:1904.09751](https://arxiv.org/abs/1904.09751)).
#' @param samples How many captions are drawn for each image.
#' @param seed Of the draws; by default the fit's, so that they repeat.
#' @param ... Not used.
#' @return A tibble.
#' - `"caption"`: one row an image, in their order, with the column `.pred_caption`; no rows for
#'   no images.
#' - `"all"`: one row a caption: `.row` (of the image) and `.rank` (1 is the best; for samples the
#'   order in which they were drawn); `.pred_caption`; `.log_prob`, the natural logarithm of its
#'   probability; `.score`, what beam search ranks by; `.ended`, `FALSE` where it has as many
#'   words as it may have and had to end; `.words`, a list of character vectors; and
#'   `.attention`, a list of arrays (word, height, width) that say where the model looked for each
#'   word: shares of the encoder's grid of cells. `NULL` in it for a fit without attention.
#' @export
#' @examplesIf diglot_available()
#' data <- shapes(60, seed = 1, size = 32)
#' fit <- image_captioner(captions ~ image, data, hidden = 32, epochs = 1, seed = 1)
#' predict(fit, data[1:3, ])
#' predict(fit, data[1:2, ], beams = 2, type = "all")
#' predict(fit, data[1, ], type = "all", temperature = 1, samples = 3)
predict.diglot_captioner <- function(object, newdata, beams = 5, type = c("caption", "all"),
                                     length_penalty = 1, max_length = NULL, temperature = NULL,
                                     top_p = 1, samples = 1, seed = NULL, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  type <- check_type(type, c("caption", "all"), env)
  check_newdata(missing(newdata), env, "caption")
  options <- caption_options(
    list(
      beams = beams, length_penalty = length_penalty, max_length = max_length,
      temperature = temperature, top_p = top_p, samples = samples, seed = seed
    ),
    env
  )
  images <- newdata_images(object, newdata, "newdata", env)
  if (image_count(images) == 0L) {
    return(if (type == "all") no_captions() else tibble::tibble(.pred_caption = character()))
  }
  payload <- image_payload(images, "newdata", env)
  live <- live_model(object, env)
  if (type == "caption") {
    return(tibble::tibble(
      .pred_caption = text_from(call_bridge("caption", live, payload, options, call = env))
    ))
  }
  caption_table(call_bridge("all_captions", live, payload, options, call = env))
}

# How captions are made, as the bridge takes it: what is NULL is left to Python.
caption_options <- function(options, call) {
  options <- options[!vapply(options, is.null, NA)]
  for (name in names(options)) {
    check_number(options[[name]], name, call, "number")
  }
  for (name in intersect(c("beams", "samples", "max_length"), names(options))) {
    if (options[[name]] < 1) {
      abort_diglot(
        sprintf("`%s` must be a whole number from 1, not %s.", name, format(options[[name]])),
        call = call
      )
    }
  }
  lapply(options, whole)
}

caption_table <- function(answer) {
  counts <- as.integer(answer$counts)
  words <- split_lists(answer$words)
  tibble::tibble(
    .row = rep(seq_along(counts), counts),
    .rank = sequence(counts),
    .pred_caption = text_from(answer$text),
    .log_prob = as.vector(answer$log_prob),
    .score = as.vector(answer$score),
    .ended = as.vector(answer$ended),
    .words = words,
    .attention = split_attention(answer$attention, lengths(words))
  )
}

no_captions <- function() {
  tibble::tibble(
    .row = integer(), .rank = integer(), .pred_caption = character(), .log_prob = numeric(),
    .score = numeric(), .ended = logical(), .words = list(), .attention = list()
  )
}

# Each caption's part of the one array (words of all captions, height, width).
split_attention <- function(attention, counts) {
  if (is.null(attention)) {
    return(vector("list", length(counts)))
  }
  ends <- cumsum(counts)
  Map(
    function(end, count) attention[end - count + seq_len(count), , , drop = FALSE],
    ends, counts
  )
}

# The images of new data, through the fit's formula where it has one, with their covariates.
newdata_images <- function(object, newdata, what, call) {
  if (is_observed(newdata)) {
    return(newdata)
  }
  images <- if (!is.data.frame(newdata) || is.null(object$terms$image)) {
    image_column(newdata, what, call)
  } else {
    image_column(side_value(object$terms, "image", newdata, what, call), what, call)
  }
  with_beside(images, newdata_covariates(object, newdata, what, call), what, call)
}

# Their labels, or whatever is learned: given, or the formula's other side.
newdata_labels <- function(object, newdata, y, what, call, learned = "labels") {
  if (!is.null(y)) {
    return(y)
  }
  if (!is.data.frame(newdata) || is.null(object$terms$outcome)) {
    abort_diglot(
      sprintf("The %s of `%s` are missing: give them too.", learned, what),
      call = call
    )
  }
  side_value(object$terms, "outcome", newdata, what, call)
}
