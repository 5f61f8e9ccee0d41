# Training curves.

#' Plot the training of a classifier
#'
#' Draws loss and accuracy by epoch, with validation data also theirs. `plot()` uses ggplot2 where
#' it is installed, R's own graphics otherwise; `autoplot()` returns the ggplot.
#'
#' @param x,object A fit, see [image_classifier()].
#' @param ... For `plot()` without ggplot2: passed on to [graphics::plot.default()].
#' @return `plot()`: the fit, invisibly. `autoplot()`: a ggplot.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(
#'   label ~ image, digits[1:500, ],
#'   epochs = 4, validation = 0.2, seed = 1
#' )
#' plot(fit)
plot.image_classifier <- function(x, ...) {
  if (nrow(x$history) == 0L) {
    abort_diglot("There is nothing to plot: the fit has no history.")
  }
  if (requireNamespace("ggplot2", quietly = TRUE)) {
    print(autoplot.image_classifier(x))
  } else {
    plot_base(x, ...)
  }
  invisible(x)
}

#' @rdname plot.image_classifier
#' @exportS3Method ggplot2::autoplot
autoplot.image_classifier <- function(object, ...) {
  rlang::check_installed("ggplot2", "to draw this plot.")
  curves <- history_curves(object$history)
  .data <- rlang::.data
  plot <- ggplot2::ggplot(
    curves, ggplot2::aes(.data$epoch, .data$value, colour = .data$images, shape = .data$images)
  ) +
    ggplot2::geom_line() +
    ggplot2::geom_point(size = 1.6) +
    ggplot2::facet_wrap(~measure, scales = "free_y") +
    ggplot2::scale_x_continuous(breaks = whole_breaks) +
    ggplot2::scale_colour_manual(values = set_colours, drop = TRUE) +
    ggplot2::labs(x = "epoch", y = NULL, colour = NULL, shape = NULL) +
    ggplot2::theme_minimal() +
    ggplot2::theme(legend.position = "bottom", panel.grid.minor = ggplot2::element_blank())
  if (nlevels(droplevels(curves$images)) == 1L) {
    plot <- plot + ggplot2::theme(legend.position = "none")
  }
  plot
}

# Blue and vermilion are told apart by colour-blind readers (Okabe and Ito, 2008).
set_colours <- c(training = "#0072B2", validation = "#D55E00")

whole_breaks <- function(limits) {
  breaks <- pretty(limits, 6L)
  breaks[breaks == round(breaks) & breaks >= 1]
}

# The history as one row for each epoch, measure and set of images.
history_curves <- function(history) {
  measures <- history_measures(history)
  long <- lapply(measures, function(name) {
    tibble::tibble(
      epoch = history$epoch,
      measure = sub("^val_", "", name),
      images = if (startsWith(name, "val_")) "validation" else "training",
      value = history[[name]]
    )
  })
  curves <- do.call(rbind, long)
  curves$measure <- factor(curves$measure, unique(curves$measure))
  curves$images <- factor(curves$images, names(set_colours))
  curves
}

plot_base <- function(x, ...) {
  curves <- history_curves(x$history)
  old <- graphics::par(mfrow = c(1L, nlevels(curves$measure)))
  on.exit(graphics::par(old))
  for (measure in levels(curves$measure)) {
    part <- curves[curves$measure == measure, ]
    graphics::plot(
      part$epoch, part$value,
      type = "n", xlab = "epoch", ylab = measure, xaxt = "n", ...
    )
    graphics::axis(1L, whole_breaks(range(part$epoch)))
    sets <- levels(droplevels(part$images))
    for (set in sets) {
      of_set <- part[part$images == set, ]
      graphics::lines(
        of_set$epoch, of_set$value,
        type = "o", col = set_colours[[set]], pch = match(set, names(set_colours))
      )
    }
    if (length(sets) > 1L) {
      graphics::legend(
        "right", sets,
        col = set_colours[sets], pch = match(sets, names(set_colours)), lty = 1L, bty = "n"
      )
    }
  }
}
