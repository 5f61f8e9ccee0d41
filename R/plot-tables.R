# Plots of the tables that assessment gives.

#' Plot metrics, curves, comparisons and other tables
#'
#' `autoplot()` returns a ggplot of a table that a function of diglot gave, `plot()` draws it.
#' Python's `diglot.plots` draws the same with matplotlib.
#'
#' - Metrics, from [evaluate()][evaluate.image_classifier]: estimates with their intervals, of the
#'   whole or by class.
#' - Confusions, in [report_data()]: the shade of a cell is its share of its row; an empty cell is
#'   white. With more than 25 classes the counts are left out, with more than 60 the names.
#' - History, in [report_data()]: the measures of the training by epoch.
#' - ROC curves: up to eight classes share a panel. More get a panel each, with the others' curves
#'   in grey behind; more than 36 are drawn alike in one panel.
#' - Reliability: points with intervals; on the dotted line the confidence is what it claims to be.
#'   Below, how many images each bin has; with `by_class` the size of the points tells.
#' - Cross-validation: a point a fold; the line is the mean, the band its interval.
#' - Learning curves: metrics by the number of training images, on a logarithmic scale.
#' - Comparisons: differences with their intervals and p-values; the dashed line is at none.
#' - Coefficients of covariates, from [tidy()][tidy.image_classifier]: one panel a class, one row a
#'   term, with its interval where there is one; the dashed line is at no effect.
#' - Coverage: with one stated coverage a row for the whole and each class, the dashed line being
#'   what is stated; with several the observed against the stated coverage of the whole.
#'
#' @param x,object A table of the class.
#' @param by_class A panel for each class or metric, instead of what is of the whole. For metrics
#'   the default is to do so where the table has classes.
#' @param ... For `plot()`: passed on to `autoplot()`. Otherwise not used.
#' @return `autoplot()`: a ggplot. `plot()`: `x`, invisibly.
#' @name autoplot_tables
#' @examplesIf diglot_available() && rlang::is_installed("ggplot2")
#' digits <- example_images("digits")
#' fit <- image_classifier(label ~ image, digits[1:500, ], epochs = 2, seed = 1)
#' plot(evaluate(fit, digits[501:700, ]))
NULL

plot_table <- function(x, ...) {
  print(ggplot2::autoplot(x, ...))
  invisible(x)
}

#' @rdname autoplot_tables
#' @export
plot.diglot_metrics <- function(x, ...) plot_table(x, ...)
#' @rdname autoplot_tables
#' @export
plot.diglot_confusion <- function(x, ...) plot_table(x, ...)
#' @rdname autoplot_tables
#' @export
plot.diglot_history <- function(x, ...) plot_table(x, ...)
#' @rdname autoplot_tables
#' @export
plot.diglot_roc <- function(x, ...) plot_table(x, ...)
#' @rdname autoplot_tables
#' @export
plot.diglot_reliability <- function(x, ...) plot_table(x, ...)
#' @rdname autoplot_tables
#' @export
plot.diglot_resamples <- function(x, ...) plot_table(x, ...)
#' @rdname autoplot_tables
#' @export
plot.diglot_learning_curve <- function(x, ...) plot_table(x, ...)
#' @rdname autoplot_tables
#' @export
plot.diglot_comparison <- function(x, ...) plot_table(x, ...)
#' @rdname autoplot_tables
#' @export
plot.diglot_coefficients <- function(x, ...) plot_table(x, ...)
#' @rdname autoplot_tables
#' @export
plot.diglot_coverage <- function(x, ...) plot_table(x, ...)

# ---- metrics

#' @rdname autoplot_tables
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_metrics <- function(object, by_class = NULL, ...) {
  rlang::check_dots_empty()
  columns <- c("metric", "class", "estimate", "lower", "upper")
  check_plot_table(object, columns, rlang::current_env())
  by_class <- by_class %||% any(!is.na(object$class))
  rows <- plain_rows(object, is.na(object$class) != by_class & !is.na(object$estimate))
  if (nrow(rows) == 0L) {
    abort_diglot(
      sprintf(
        "The table has no metrics %s: there is nothing to draw.",
        if (by_class) "by class" else "of the whole"
      )
    )
  }
  rows$metric <- in_order(rows$metric)
  if (by_class) metrics_by_class(rows) else metrics_of_whole(rows)
}

# The rows of a table of diglot's, without its class.
plain_rows <- function(table, rows) tibble::as_tibble(unclass(table))[rows, ]

metrics_by_class <- function(rows) {
  rows$class <- in_order(rows$class)
  ggplot2::ggplot(rows, ggplot2::aes(y = .data$class)) +
    dots() +
    names_down() +
    ggplot2::facet_wrap(
      ~metric,
      nrow = 1L, scales = "free_x", labeller = named_panels(in_words)
    ) +
    few_breaks() +
    ggplot2::labs(x = NULL, y = NULL) +
    diglot_theme() +
    ggplot2::theme(panel.grid.major.y = ggplot2::element_blank())
}

# For panels side by side: numbers near the ends would run into the neighbour's.
few_breaks <- function() {
  ggplot2::scale_x_continuous(
    breaks = function(limits) {
      inner <- limits + c(0.1, -0.1) * diff(limits)
      breaks <- pretty(inner, 3L)
      breaks <- breaks[breaks >= inner[1L] & breaks <= inner[2L]]
      # long numbers would run into each other, too
      if (any(nchar(plain_numbers(breaks)) > 3L)) range(breaks) else breaks
    },
    labels = plain_numbers
  )
}

# On one scale, as panels of one column would not be as high as they have rows; the numbers tell
# what is too narrow to see.
metrics_of_whole <- function(rows) {
  rows$told <- estimate_words(rows$estimate, rows$lower, rows$upper)
  ggplot2::ggplot(rows, ggplot2::aes(y = .data$metric)) +
    dots() +
    beside_panel("told") +
    names_down(in_words) +
    ggplot2::scale_x_continuous(labels = plain_numbers) +
    ggplot2::expand_limits(x = c(0, 1)) +
    ggplot2::labs(x = NULL, y = NULL) +
    diglot_theme() +
    ggplot2::theme(
      panel.grid.major.y = ggplot2::element_blank(),
      plot.margin = ggplot2::margin(6, 130, 6, 6)
    )
}

estimate_words <- function(estimate, lower, upper) {
  each <- function(x) trimws(formatC(x, digits = 3L, format = "fg", flag = "#"))
  ends <- sprintf(" (%s to %s)", each(lower), each(upper))
  paste0(each(estimate), ifelse(is.na(lower) | is.na(upper), "", ends))
}

# Words at the right edge, whatever the scale is; the plot's margin is where they stand.
beside_panel <- function(words) {
  list(
    ggplot2::geom_text(
      ggplot2::aes(x = Inf, label = .data[[words]]),
      hjust = -0.1, size = 3, colour = "grey20", na.rm = TRUE
    ),
    ggplot2::coord_cartesian(clip = "off")
  )
}

#' @rdname autoplot_tables
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_confusion <- function(object, ...) {
  rlang::check_dots_empty()
  confusion_plot(unclass(object), rlang::current_env())
}

# ---- curves

#' @rdname autoplot_tables
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_history <- function(object, ...) {
  rlang::check_dots_empty()
  check_plot_table(object, "epoch", rlang::current_env())
  history_plot(plain_rows(object, TRUE))
}

#' @rdname autoplot_tables
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_roc <- function(object, ...) {
  rlang::check_dots_empty()
  check_plot_table(object, c("class", "sensitivity", "specificity"), rlang::current_env())
  curve <- plain_rows(object, TRUE)
  curve$class <- in_order(curve$class)
  classes <- levels(curve$class)
  plot <- ggplot2::ggplot(
    curve, ggplot2::aes(1 - .data$specificity, .data$sensitivity, group = .data$class)
  ) +
    ggplot2::labs(x = "1 - specificity", y = "sensitivity", colour = NULL, linetype = NULL) +
    diglot_theme()
  if (length(classes) > 36L) {
    title <- sprintf("%s classes", counted(length(classes)))
    return(
      plot + unit_square() + ggplot2::labs(subtitle = title) +
        ggplot2::geom_path(colour = blue, linewidth = 0.2, alpha = 0.3)
    )
  }
  if (length(classes) > length(class_colours)) {
    behind <- curve[c("sensitivity", "specificity")]
    behind$other <- curve$class
    return(
      plot +
        ggplot2::geom_path(
          ggplot2::aes(group = .data$other),
          data = behind, colour = "grey85", linewidth = 0.2
        ) +
        unit_square(c(0, 0.5, 1)) +
        ggplot2::geom_path(colour = blue, linewidth = 0.6) +
        class_panels(length(classes))
    )
  }
  plot <- plot + unit_square() +
    ggplot2::geom_path(
      ggplot2::aes(colour = .data$class, linetype = .data$class),
      linewidth = 0.7
    ) +
    ggplot2::scale_colour_manual(values = class_colours, labels = shorten) +
    ggplot2::scale_linetype_manual(values = class_lines, labels = shorten) +
    ggplot2::theme(legend.key.width = ggplot2::unit(2, "lines"))
  if (length(classes) == 1L) {
    plot <- plot + ggplot2::labs(subtitle = shorten(classes)) +
      ggplot2::theme(legend.position = "none")
  }
  plot
}

#' @rdname autoplot_tables
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_reliability <- function(object, by_class = FALSE, ...) {
  rlang::check_dots_empty()
  columns <- c("class", "from", "to", "confidence", "observed", "lower", "upper", "n")
  check_plot_table(object, columns, rlang::current_env())
  rows <- plain_rows(object, is.na(object$class) != by_class)
  if (nrow(rows) == 0L) {
    abort_diglot(
      sprintf(
        "The table has no rows %s: there is nothing to draw.",
        if (by_class) "by class" else "of the whole"
      )
    )
  }
  if (by_class) reliability_by_class(rows) else reliability_of_whole(rows)
}

reliability_by_class <- function(rows) {
  rows$class <- in_order(rows$class)
  ggplot2::ggplot(rows, ggplot2::aes(.data$confidence, .data$observed)) +
    unit_square(c(0, 0.5, 1)) +
    ggplot2::geom_linerange(
      ggplot2::aes(ymin = .data$lower, ymax = .data$upper),
      colour = blue, linewidth = 0.5
    ) +
    ggplot2::geom_point(ggplot2::aes(size = .data$n), colour = blue) +
    ggplot2::scale_size_area(max_size = 3) +
    ggplot2::labs(x = "probability of the class", y = "share of the class", size = "images") +
    diglot_theme() +
    class_panels(nlevels(rows$class))
}

# Points above, counts below in two panels that share the confidence. Panels are as high as their
# scales are long: counts are drawn as shares of a quarter, and moved up to be told from the points.
reliability_of_whole <- function(rows) {
  parts <- c("share that is right", "images")
  upper <- factor(parts[1L], parts)
  lower <- factor(parts[2L], parts)
  unit <- 0.25 / max(rows$n)
  ggplot2::ggplot(rows, ggplot2::aes(.data$confidence)) +
    ggplot2::geom_line(
      ggplot2::aes(.data$x, .data$x),
      data = data.frame(x = c(0, 1), part = upper),
      linetype = "dotted", colour = "grey55", linewidth = 0.4
    ) +
    ggplot2::geom_linerange(
      ggplot2::aes(ymin = .data$lower, ymax = .data$upper),
      data = tibble::add_column(rows, part = upper), colour = blue, linewidth = 0.5
    ) +
    ggplot2::geom_point(
      ggplot2::aes(y = .data$observed),
      data = tibble::add_column(rows, part = upper), colour = blue, size = 1.8
    ) +
    ggplot2::geom_rect(
      ggplot2::aes(
        xmin = .data$from, xmax = .data$to, ymin = counts_from, ymax = counts_from + .data$n * unit
      ),
      data = tibble::add_column(rows, part = lower),
      inherit.aes = FALSE, fill = "#9DB7C9", colour = "white", linewidth = 0.2
    ) +
    ggplot2::facet_grid(part ~ ., scales = "free_y", space = "free_y", switch = "y") +
    ggplot2::scale_x_continuous(
      limits = c(0, 1), breaks = seq(0, 1, 0.25), labels = plain_numbers
    ) +
    ggplot2::scale_y_continuous(
      breaks = function(limits) {
        if (limits[1L] < 1) {
          return(seq(0, 1, 0.25))
        }
        counts_from + unit * pretty(c(0, max(rows$n)), 2L)
      },
      labels = function(x) {
        ifelse(x < counts_from, plain_numbers(x), counted_each(round((x - counts_from) / unit)))
      }
    ) +
    ggplot2::labs(x = "confidence", y = NULL) +
    diglot_theme() +
    ggplot2::theme(strip.placement = "outside")
}

counts_from <- 2

#' @rdname autoplot_tables
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_learning_curve <- function(object, ...) {
  rlang::check_dots_empty()
  learning_plot(learning_summary(object), rlang::current_env())
}

# Of the test images and of the training images.
learning_summary <- function(x) {
  if ("lower" %in% names(x)) {
    return(x)
  }
  rbind(
    cbind(summary(x), training = FALSE), cbind(summary(x, training = TRUE), training = TRUE)
  )
}

learning_plot <- function(curve, call) {
  check_plot_table(curve, c("n_train", "metric", "estimate", "lower", "upper"), call)
  of_training <- if ("training" %in% names(curve)) as.logical(curve$training) else FALSE
  curve <- plain_rows(curve, TRUE)
  curve$metric <- in_order(curve$metric)
  curve$images <- factor(ifelse(of_training, "training", "test"), c("test", "training"))
  sizes <- sort(unique(curve$n_train))
  plot <- ggplot2::ggplot(
    curve,
    ggplot2::aes(.data$n_train, .data$estimate, colour = .data$images, shape = .data$images)
  ) +
    ggplot2::geom_linerange(
      ggplot2::aes(ymin = .data$lower, ymax = .data$upper),
      linewidth = 0.4, na.rm = TRUE, show.legend = FALSE
    ) +
    ggplot2::geom_line(ggplot2::aes(linetype = .data$images)) +
    ggplot2::geom_point(size = 1.6) +
    ggplot2::facet_wrap(~metric, scales = "free_y", labeller = named_panels(in_words)) +
    ggplot2::scale_x_log10(
      breaks = sizes, labels = function(x) format(x, big.mark = ",", trim = TRUE),
      guide = ggplot2::guide_axis(check.overlap = TRUE)
    ) +
    ggplot2::scale_colour_manual(values = c(test = vermilion, training = blue)) +
    ggplot2::scale_linetype_manual(values = c(test = "dashed", training = "solid")) +
    ggplot2::scale_shape_manual(values = c(test = 17L, training = 16L)) +
    ggplot2::labs(
      x = "training images", y = NULL, colour = NULL, shape = NULL, linetype = NULL
    ) +
    diglot_theme() +
    ggplot2::theme(legend.position = if (any(of_training)) "bottom" else "none")
  plot
}

# ---- estimates

#' @rdname autoplot_tables
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_comparison <- function(object, ...) {
  rlang::check_dots_empty()
  columns <- c("metric", "difference", "lower", "upper", "p_value")
  check_plot_table(object, columns, rlang::current_env())
  rows <- plain_rows(object, TRUE)
  rows$metric <- in_order(rows$metric)
  rows$p <- p_words(rows$p_value)
  ggplot2::ggplot(rows, ggplot2::aes(y = .data$metric)) +
    dashed_at(0) +
    dots("difference") +
    beside_panel("p") +
    names_down(in_words) +
    ggplot2::labs(x = "difference (first - second model)", y = NULL) +
    diglot_theme() +
    ggplot2::theme(
      panel.grid.major.y = ggplot2::element_blank(),
      plot.margin = ggplot2::margin(6, 60, 6, 6)
    )
}

p_words <- function(p) {
  ifelse(
    is.na(p), NA_character_,
    ifelse(!is.na(p) & p < 0.001, "p < 0.001", paste("p =", vapply(p, format, "", digits = 2L)))
  )
}

#' @rdname autoplot_tables
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_coverage <- function(object, ...) {
  rlang::check_dots_empty()
  columns <- c("coverage", "class", "estimate", "lower", "upper")
  check_plot_table(object, columns, rlang::current_env())
  rows <- plain_rows(object, TRUE)
  stated <- unique(rows$coverage)
  if (length(stated) > 1L) {
    return(coverage_of_whole(rows[is.na(rows$class), ]))
  }
  rows$class <- in_order(ifelse(is.na(rows$class), "all", rows$class))
  ggplot2::ggplot(rows, ggplot2::aes(y = .data$class)) +
    dashed_at(stated) +
    dots() +
    names_down() +
    ggplot2::labs(x = "coverage", y = NULL) +
    diglot_theme() +
    ggplot2::theme(panel.grid.major.y = ggplot2::element_blank())
}

coverage_of_whole <- function(rows) {
  if (nrow(rows) == 0L) {
    abort_diglot("The table has no rows of the whole: there is nothing to draw.", call = NULL)
  }
  ggplot2::ggplot(rows, ggplot2::aes(.data$coverage, .data$estimate)) +
    unit_square() +
    ggplot2::geom_linerange(
      ggplot2::aes(ymin = .data$lower, ymax = .data$upper),
      colour = blue, linewidth = 0.5, na.rm = TRUE
    ) +
    ggplot2::geom_point(colour = blue, size = 1.8) +
    ggplot2::labs(x = "stated coverage", y = "coverage") +
    diglot_theme()
}

#' @rdname autoplot_tables
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_coefficients <- function(object, ...) {
  rlang::check_dots_empty()
  check_plot_table(object, c("term", "class", "estimate"), rlang::current_env())
  rows <- plain_rows(object, TRUE)
  rows$lower <- rows[["conf.low"]] %||% NA_real_
  rows$upper <- rows[["conf.high"]] %||% NA_real_
  rows$term <- in_order(rows$term)
  plot <- ggplot2::ggplot(rows, ggplot2::aes(y = .data$term)) +
    dashed_at(0) +
    dots() +
    names_down() +
    ggplot2::labs(x = "coefficient", y = NULL) +
    diglot_theme() +
    ggplot2::theme(panel.grid.major.y = ggplot2::element_blank())
  if (all(is.na(rows$class))) {
    return(plot)
  }
  plot$data$class <- in_order(rows$class)
  plot + class_panels(length(unique(rows$class)))
}

#' @rdname autoplot_tables
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_resamples <- function(object, ...) {
  rlang::check_dots_empty()
  resamples_plot(object, summary(object), rlang::current_env())
}

# `folds` has a column for each metric that the summary names.
resamples_plot <- function(folds, means, call) {
  check_plot_table(means, c("metric", "estimate", "lower", "upper"), call)
  metrics <- as.character(means$metric)
  check_plot_table(folds, metrics, call)
  long <- tibble::tibble(
    fold = rep(seq_len(nrow(folds)), length(metrics)),
    metric = in_order(rep(metrics, each = nrow(folds))),
    value = unlist(lapply(metrics, function(name) folds[[name]]))
  )
  means <- plain_rows(means, TRUE)
  means$metric <- in_order(metrics)
  ggplot2::ggplot(long) +
    ggplot2::geom_rect(
      ggplot2::aes(xmin = -Inf, xmax = Inf, ymin = .data$lower, ymax = .data$upper),
      data = means[!is.na(means$lower), ], fill = blue, alpha = 0.15
    ) +
    ggplot2::geom_hline(
      ggplot2::aes(yintercept = .data$estimate),
      data = means, colour = blue, linewidth = 0.5
    ) +
    ggplot2::geom_point(
      ggplot2::aes(.data$fold, .data$value),
      colour = blue, size = 1.8, na.rm = TRUE
    ) +
    ggplot2::facet_wrap(~metric, scales = "free_y", labeller = named_panels(in_words)) +
    ggplot2::scale_x_continuous(breaks = whole_breaks) +
    ggplot2::labs(x = "fold", y = NULL) +
    diglot_theme()
}
