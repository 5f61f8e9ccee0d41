# What print, summary and the broom generics say of a fit.

#' @export
generics::augment
#' @export
generics::evaluate
#' @export
generics::glance
#' @export
generics::tidy

#' Tidy tables of a fitted classifier
#'
#' `tidy()` gives the training history or the coefficients of covariates, `glance()` one row on the
#' whole fit, and `augment()` the predictions beside the data.
#'
#' @param x A fit, see [image_classifier()].
#' @param type `"history"` of the training, or `"coefficients"` of covariates, see
#'   [coef()][coef.image_classifier].
#' @param data,y To estimate coefficients on, with intervals: images with covariates and outcomes,
#'   best ones that the network has not learned from.
#' @param conf.int Whether coefficients have intervals; where there are `data` by default.
#' @param conf.level,groups,resamples,seed As `level` and so on of
#'   [confint()][confint.image_classifier].
#' @param newdata A data frame with images, or images, see [predict()][predict.image_classifier].
#' @param ... Not used.
#' @return A tibble.
#' - `tidy()`: one row an epoch: `epoch`, `loss`, `accuracy`, with validation data `val_loss` and
#'   `val_accuracy`, then `learning_rate`, `seconds` and `images_per_second`. For coefficients one
#'   row a term and class: `term`, `class` (missing where there is one linear predictor),
#'   `estimate`, and with `conf.int` also `conf.low` and `conf.high`.
#' - `glance()`: one row: `network`, `parameters`, `classes`, `images` (that it was trained on),
#'   `epochs`, the measures of the last epoch, `seconds` in all, `device`, `seed` and
#'   `fingerprint`.
#' - `augment()`: the columns of `newdata`, then `.pred_class` and `.pred_<level>`; the latter
#'   alone where `newdata` is no data frame.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' tidy(fit)
#' glance(fit)
#' augment(fit, digits[501:505, ])
tidy.image_classifier <- function(x, type = c("history", "coefficients"), data = NULL, y = NULL,
                                  conf.int = !is.null(data), conf.level = 0.95, groups = NULL,
                                  resamples = 200, seed = 0, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  if (check_type(type, c("history", "coefficients"), env) == "history") {
    return(x$history)
  }
  groups <- if (!is.null(data)) {
    group_codes(rlang::enquo(groups), data, nrow_or_length(data), env)
  }
  options <- judging_options(groups, conf.level, resamples, seed, env)
  tidy_coefficients(x, data, y, conf.int, options, env)
}

#' Tidy tables of a fitted regressor or tagger
#'
#' `tidy()` gives the training history or the coefficients of covariates, `glance()` one row on the
#' whole fit, and `augment()` the predictions beside the data.
#'
#' @inheritParams tidy.image_classifier
#' @param x A fit, see [image_regressor()] and [image_tagger()].
#' @param ... Not used.
#' @return A tibble, as of [tidy()][tidy.image_classifier] for a classifier; the measure beside the
#'   loss is `mae` for numbers, in their own units, and for tags `accuracy`, the share of tags that
#'   are right.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' digits$ink <- vapply(digits$image, mean, 0)
#' fit <- image_regressor(ink ~ image, digits[1:500, ], network = "mlp", epochs = 3, seed = 1)
#' tidy(fit)
#' glance(fit)
#' augment(fit, digits[501:505, c("image", "ink")])
tidy.image_regressor <- tidy.image_classifier

#' @rdname tidy.image_regressor
#' @export
tidy.image_tagger <- tidy.image_classifier

#' @rdname tidy.image_classifier
#' @export
glance.image_classifier <- function(x, ...) {
  rlang::check_dots_empty()
  glance_row(
    x,
    network = x$network$name,
    parameters = x$network$parameters,
    classes = length(x$levels),
    images = x$images
  )
}

# What each kind of fit has to say in `...`, and what is the same for all.
glance_row <- function(x, ...) {
  last <- if (nrow(x$history) > 0L) x$history[nrow(x$history), history_measures(x$history)]
  tibble::add_column(
    tibble::tibble(..., epochs = nrow(x$history)),
    !!!last,
    seconds = training_seconds(x),
    device = x$device,
    seed = x$seed,
    fingerprint = x$fingerprint
  )
}

#' @rdname tidy.image_classifier
#' @export
augment.image_classifier <- function(x, newdata, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  if (missing(newdata)) {
    abort_diglot("`newdata` is missing: a fit does not keep its training images.", call = env)
  }
  prob <- class_probabilities(x, newdata, env)
  columns <- c(class_column(x, prob), prob_columns(x, prob))
  if (is.data.frame(newdata)) {
    columns <- c(as.list(newdata), columns)
  }
  tibble::new_tibble(columns, nrow = nrow(prob))
}

#' Tidy tables of a fitted captioner
#'
#' `tidy()` gives the training history, `glance()` one row on the whole fit, and `augment()` the
#' captions beside the data.
#'
#' @param x A fit, see [image_captioner()].
#' @param newdata A data frame with images, or images, see [predict()][predict.diglot_captioner].
#' @param ... For `augment()`: passed on to [predict()][predict.diglot_captioner], such as `beams`.
#' @return A tibble.
#' - `tidy()`: one row an epoch: `epoch`, `loss` (per word); with validation data `val_loss`
#'   (without label smoothing), and `val_bleu_4`, `val_rouge_l` and `val_cider_d` of generated
#'   captions; with `self_critical` epochs `reward`, the CIDEr-D of the captions that were drawn;
#'   then `learning_rate`, `seconds` and `images_per_second`.
#' - `glance()`: one row: `encoder`, `decoder`, `parameters`, `words` (of the vocabulary),
#'   `captions` (that it was trained on), `epochs`, the measures of the last epoch, `seconds` in
#'   all, `device`, `seed` and `fingerprint`.
#' - `augment()`: the columns of `newdata`, then `.pred_caption`; the latter alone where `newdata`
#'   is no data frame.
#' @export
#' @examplesIf diglot_available()
#' data <- shapes(60, seed = 1, size = 32)
#' fit <- image_captioner(captions ~ image, data, hidden = 32, epochs = 1, seed = 1)
#' tidy(fit)
#' glance(fit)
#' augment(fit, data[1:3, ])
tidy.diglot_captioner <- function(x, ...) {
  rlang::check_dots_empty()
  x$history
}

#' @rdname tidy.diglot_captioner
#' @export
glance.diglot_captioner <- function(x, ...) {
  rlang::check_dots_empty()
  glance_row(
    x,
    encoder = x$network$name,
    decoder = x$decoder$cell,
    parameters = x$network$parameters,
    words = length(x$words),
    captions = x$captions
  )
}

#' @rdname tidy.diglot_captioner
#' @export
augment.diglot_captioner <- function(x, newdata, ...) {
  env <- rlang::current_env()
  check_newdata(missing(newdata), env, "caption")
  columns <- predict(x, newdata, type = "caption", ...)
  if (is.data.frame(newdata)) {
    columns <- c(as.list(newdata), columns)
  }
  tibble::new_tibble(as.list(columns), nrow = length(columns$.pred_caption))
}

#' The fingerprint of a fit
#'
#' The SHA-256 of its weights, as in Python: two fits with the same fingerprint compute the same.
#'
#' @param x A fit, see [image_classifier()] and [image_captioner()], or a network, see
#'   [pretrained()].
#' @param ... Not used.
#' @return A string of 64 hexadecimal digits.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' one <- image_classifier(label ~ image, digits[1:200, ], epochs = 1, seed = 1)
#' two <- image_classifier(label ~ image, digits[1:200, ], epochs = 1, seed = 1)
#' fingerprint(one)
#' fingerprint(one) == fingerprint(two)
fingerprint <- function(x, ...) {
  UseMethod("fingerprint")
}

#' @export
fingerprint.default <- function(x, ...) {
  check_fit(x, rlang::current_env(), "diglot_model")
}

#' @export
fingerprint.diglot_model <- function(x, ...) {
  x$fingerprint
}

#' @export
print.diglot_model <- function(x, ...) {
  writeLines(fit_lines(x))
  invisible(x)
}

# Where a fit was trained, and what by, which objects of earlier versions do not say.
place_of <- function(x) {
  if (isTRUE(nzchar(x$engine))) sprintf("%s (%s)", x$device, x$engine) else x$device
}

fit_lines <- function(x) {
  n <- nrow(x$history)
  words <- fit_words(x)
  c(
    words$title,
    if (!is.null(x$call)) {
      paste0("  ", deparse(x$call, width.cutoff = 75L, nlines = 3L))
    },
    "",
    "Model",
    words$model,
    line("device", sprintf("%s, seed %s", place_of(x), format(x$seed, scientific = FALSE))),
    line("fingerprint", paste0(substr(x$fingerprint, 1L, 16L), "...")),
    if (length(x$lineage) > 0L) c("", words$lineage, card_lines(x$lineage)),
    if (length(x$certainty) > 0L) c("", "Certainty", card_lines(x$certainty)),
    "",
    "Training",
    words$data,
    line("time", sprintf(
      "%d epoch%s in %s", n, if (n == 1L) "" else "s", format_seconds(training_seconds(x))
    )),
    if (n > 0L) {
      last <- Filter(Negate(is.na), unlist(x$history[n, history_measures(x$history)]))
      shown <- vapply(last, format, "", digits = 4L)
      line(if (n == 1L) "result" else "last epoch", paste(names(last), shown, collapse = ", "))
    }
  )
}

# What each kind of fit says of itself.
fit_words <- function(x) {
  UseMethod("fit_words")
}

fit_words.image_classifier <- function(x) {
  cumulative <- identical(x$family, "cumulative")
  predictor_words(x, "Image classifier", c(
    line("classes", level_list(x)),
    if (cumulative) line("family", "cumulative")
  ))
}

fit_words.diglot_captioner <- function(x) {
  decoder <- x$decoder
  layers <- if (decoder$layers == 1L) "" else sprintf("%d layers of ", decoder$layers)
  heads <- decoder$heads
  looks <- if (heads == 0L) "no attention" else sprintf("attention, %d heads", heads)
  list(
    title = "Image captioner",
    model = c(
      line("encoder", network_words(x$network)),
      line("decoder", sprintf(
        "%s, %s%d units, %s", toupper(decoder$cell), layers, decoder$hidden, looks
      )),
      line("words", sprintf("%s, at most %d a caption", counted(length(x$words)), x$longest)),
      line("parameters", counted(x$network$parameters))
    ),
    lineage = "Encoder",
    data = line("captions", if (is.na(x$captions)) {
      "unknown"
    } else {
      sprintf("%s in %s rows", counted(x$captions), counted(x$rows))
    })
  )
}

network_words <- function(spec) {
  sprintf(
    "%s for images of %d x %d x %d", spec$name, spec$height, spec$width, spec$channels
  )
}

counted <- function(n) format(n, big.mark = ",")

line <- function(name, text) sprintf("  %-12s%s", name, text)

level_list <- function(x) {
  sep <- if (x$ordered) " < " else ", "
  shown <- paste(utils::head(x$levels, 12L), collapse = sep)
  if (length(x$levels) > 12L) {
    shown <- sprintf("%s%s... (%d)", shown, sep, length(x$levels))
  }
  shown
}

# A fit that was interrupted in its first epoch has a history without rows and columns.
training_seconds <- function(x) sum(0, x$history[["seconds"]])

format_seconds <- function(seconds) {
  if (seconds < 60) {
    return(sprintf("%.1f s", seconds))
  }
  if (seconds < 3600) {
    return(sprintf("%d min %d s", seconds %/% 60, round(seconds %% 60)))
  }
  sprintf("%d h %d min", seconds %/% 3600, round(seconds %% 3600 / 60))
}

# The columns of a history that measure how good the fit is.
history_measures <- function(history) {
  aside <- c("epoch", "learning_rate", "seconds", "images_per_second")
  numeric <- vapply(history, is.numeric, NA)
  setdiff(names(history)[numeric], aside)
}

#' Summarise a fit
#'
#' @param object A fit, see [image_classifier()] and [image_captioner()].
#' @param ... Not used.
#' @return An object that prints the fit, its settings, the layers of its network with their
#'   parameters and multiply-adds, and the last epochs of its history.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:200, ], epochs = 1, seed = 1)
#' summary(fit)
summary.diglot_model <- function(object, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  text <- call_bridge("summary", live_model(object, env), call = env)
  structure(
    list(fit = object, layers = text, history = object$history),
    class = "summary.diglot_model"
  )
}

setting_text <- function(value) {
  if (length(value) == 1L) format(value) else sprintf("c(%s)", paste(value, collapse = ", "))
}

#' @export
print.summary.diglot_model <- function(x, ...) {
  settings <- x$fit$settings
  writeLines(c(
    fit_lines(x$fit),
    "",
    "Settings",
    strwrap(
      paste(names(settings), vapply(settings, setting_text, ""), sep = " = ", collapse = ", "),
      width = 78L, indent = 2L, exdent = 2L
    ),
    "",
    "Network",
    paste0("  ", strsplit(x$layers, "\n", fixed = TRUE)[[1L]]),
    "",
    "History"
  ))
  print(utils::tail(as.data.frame(x$history), 10L), digits = 4L, row.names = FALSE)
  writeLines(c("", paste(names(x$fit$versions), x$fit$versions, collapse = ", ")))
  invisible(x)
}
