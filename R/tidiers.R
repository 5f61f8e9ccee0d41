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
#' `tidy()` gives the training history, `glance()` one row on the whole fit, and `augment()` the
#' predictions beside the data.
#'
#' @param x A fit, see [image_classifier()].
#' @param newdata A data frame with images, or images, see [predict()][predict.image_classifier].
#' @param ... Not used.
#' @return A tibble.
#' - `tidy()`: one row an epoch: `epoch`, `loss`, `accuracy`, with validation data `val_loss` and
#'   `val_accuracy`, then `learning_rate`, `seconds` and `images_per_second`.
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
tidy.image_classifier <- function(x, ...) {
  rlang::check_dots_empty()
  x$history
}

#' @rdname tidy.image_classifier
#' @export
glance.image_classifier <- function(x, ...) {
  rlang::check_dots_empty()
  last <- if (nrow(x$history) > 0L) x$history[nrow(x$history), history_measures(x$history)]
  tibble::add_column(
    tibble::tibble(
      network = x$network$name,
      parameters = x$network$parameters,
      classes = length(x$levels),
      images = x$images,
      epochs = nrow(x$history)
    ),
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

#' The fingerprint of a fitted classifier
#'
#' The SHA-256 of its weights, as in Python: two fits with the same fingerprint compute the same.
#'
#' @param x A fit, see [image_classifier()], or a network, see [pretrained()].
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
  check_fit(x, rlang::current_env())
}

#' @export
fingerprint.image_classifier <- function(x, ...) {
  x$fingerprint
}

#' @export
print.image_classifier <- function(x, ...) {
  writeLines(fit_lines(x))
  invisible(x)
}

fit_lines <- function(x) {
  spec <- x$network
  n <- nrow(x$history)
  c(
    "Image classifier",
    if (!is.null(x$call)) {
      paste0("  ", deparse(x$call, width.cutoff = 75L, nlines = 3L))
    },
    "",
    "Model",
    line("network", sprintf(
      "%s for images of %d x %d x %d, %s parameters", spec$name, spec$height, spec$width,
      spec$channels, format(spec$parameters, big.mark = ",")
    )),
    line("classes", level_list(x)),
    line("device", sprintf("%s, seed %s", x$device, format(x$seed, scientific = FALSE))),
    line("fingerprint", paste0(substr(x$fingerprint, 1L, 16L), "...")),
    if (length(x$lineage) > 0L) c("", "Fine-tuned", card_lines(x$lineage)),
    "",
    "Training",
    line("images", if (is.na(x$images)) "unknown" else format(x$images, big.mark = ",")),
    line("time", sprintf(
      "%d epoch%s in %s", n, if (n == 1L) "" else "s", format_seconds(training_seconds(x))
    )),
    if (n > 0L) {
      measures <- history_measures(x$history)
      last <- vapply(x$history[n, measures], format, "", digits = 4L)
      line(if (n == 1L) "result" else "last epoch", paste(measures, last, collapse = ", "))
    }
  )
}

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

#' Summarise a fitted classifier
#'
#' @param object A fit, see [image_classifier()].
#' @param ... Not used.
#' @return An object that prints the fit, its settings, the layers of its network with their
#'   parameters and multiply-adds, and the last epochs of its history.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:200, ], epochs = 1, seed = 1)
#' summary(fit)
summary.image_classifier <- function(object, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  text <- call_bridge("summary", live_model(object, env), call = env)
  structure(
    list(fit = object, layers = text, history = object$history),
    class = "summary.image_classifier"
  )
}

setting_text <- function(value) {
  if (length(value) == 1L) format(value) else sprintf("c(%s)", paste(value, collapse = ", "))
}

#' @export
print.summary.image_classifier <- function(x, ...) {
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
