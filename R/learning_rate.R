# The learning-rate range test.

#' Find a learning rate
#'
#' Trains for some steps at rates that grow from step to step, and says at which the loss fell most
#' steeply (Smith 2017, \doi{10.1109/WACV.2017.58}). Nothing is kept of this training. The
#' suggestion is a good start for the setting `learning_rate`; a few times less is safer where all
#' of a pretrained network learns.
#'
#' @param x,... As in [image_classifier()]: a formula and `data`, or images `x` and labels `y`, and
#'   settings, among them `network` (also one from [pretrained()]) and `train`.
#' @param lowest,highest Between which rates to try.
#' @param steps How many batches to train on; fewer where the loss explodes before.
#' @param object A result of `find_learning_rate()`.
#' @return A tibble of class `diglot_learning_rates` with one row a step: `learning_rate`, `loss` of
#'   the batch, and `smoothed`. Its attribute `suggestion` is the rate that the test suggests.
#'   `plot()` draws the loss over the rate; `autoplot()` returns the ggplot.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' rates <- find_learning_rate(label ~ image, digits[1:500, ], batch_size = 16, seed = 1)
#' rates
#' plot(rates)
#' fit <- image_classifier(
#'   label ~ image, digits[1:500, ],
#'   learning_rate = attr(rates, "suggestion"), epochs = 2, seed = 1
#' )
find_learning_rate <- function(x, ..., lowest = 1e-5, highest = 1, steps = 100) {
  env <- rlang::current_env()
  given <- training_data(x, ..., known = asked_settings("classifier", ...))
  if (!is.null(given$weights)) {
    abort_diglot("`find_learning_rate()` takes no `weights`.", call = env)
  }
  aside <- c("validation", "callbacks", "checkpoint", "checkpoint_every", "resume", "patience")
  given$settings[aside] <- NULL # nothing is judged or kept
  for (name in c("lowest", "highest", "steps")) {
    value <- get(name)
    if (!is.numeric(value) || length(value) != 1L || is.na(value)) {
      abort_diglot(sprintf("`%s` must be one number.", name), call = env)
    }
  }
  asked <- kind_and_settings("classifier", given, env)
  given$settings <- asked$settings
  sent <- training_payload(given, env, asked$kind)
  answer <- call_bridge(
    "find_learning_rate", sent$images, sent$labels, sent$settings, lowest, highest, steps,
    sent$progress, asked$kind,
    call = env
  )
  table <- table_from(answer$table)
  tibble::new_tibble(
    table,
    suggestion = answer$suggestion, nrow = nrow(table), class = "diglot_learning_rates"
  )
}

#' @export
print.diglot_learning_rates <- function(x, ...) {
  writeLines(sprintf(
    "Learning-rate range test of %d steps: the loss falls most steeply at %s.",
    nrow(x), format(attr(x, "suggestion"), digits = 2L)
  ))
  NextMethod()
  invisible(x)
}

#' @rdname find_learning_rate
#' @export
plot.diglot_learning_rates <- function(x, ...) {
  if (requireNamespace("ggplot2", quietly = TRUE)) {
    print(autoplot.diglot_learning_rates(x))
  } else {
    plot_rates_base(x, ...)
  }
  invisible(x)
}

#' @rdname find_learning_rate
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_learning_rates <- function(object, ...) {
  rlang::check_installed("ggplot2", "to draw this plot.")
  ggplot2::ggplot(object, ggplot2::aes(.data$learning_rate)) +
    ggplot2::geom_line(ggplot2::aes(y = .data$loss), colour = "grey80") +
    ggplot2::geom_line(ggplot2::aes(y = .data$smoothed), colour = set_colours[["training"]]) +
    ggplot2::geom_vline(xintercept = attr(object, "suggestion"), linetype = "dashed") +
    ggplot2::scale_x_log10() +
    ggplot2::labs(
      x = "learning rate", y = "loss (grey: of each batch)",
      subtitle = paste("steepest at", format(attr(object, "suggestion"), digits = 2L))
    ) +
    ggplot2::theme_minimal() +
    ggplot2::theme(panel.grid.minor = ggplot2::element_blank())
}

plot_rates_base <- function(x, ...) {
  graphics::plot(
    x$learning_rate, x$loss,
    type = "l", log = "x", col = "grey80", xlab = "learning rate", ylab = "loss",
    main = paste("steepest at", format(attr(x, "suggestion"), digits = 2L)), ...
  )
  graphics::lines(x$learning_rate, x$smoothed, col = set_colours[["training"]])
  graphics::abline(v = attr(x, "suggestion"), lty = 2L)
}
