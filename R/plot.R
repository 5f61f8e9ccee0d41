# Training curves, what a classifier says of images, and images with their captions.

#' Plot a classifier: its training, and how good it is
#'
#' Without `newdata`, draws loss and accuracy by epoch, with validation data also theirs. With
#' labelled images it draws what [evaluate()][evaluate.image_classifier] and its relatives measure,
#' or the images themselves. `plot()` draws the history by ggplot2 where it is installed, by R's own
#' graphics otherwise; all else needs ggplot2. `autoplot()` returns the ggplot.
#'
#' @param x,object A fit, see [image_classifier()].
#' @param type What to draw: `"history"`, the training; `"metrics"` with their intervals;
#'   `"confusion"`, which classes are taken for which; `"roc"`, ROC curves; `"reliability"`, how
#'   often the fit is right by how sure it is; `"images"` with what the fit says of them, wrong ones
#'   framed; `"saliency"`, the parts of images that speak for their classes.
#' @param newdata,truth For all but the history: images and their labels, as for
#'   [evaluate()][evaluate.image_classifier]. `"images"` and `"saliency"` need no labels.
#' @param n For `"images"` and `"saliency"`: how many images to draw at most, the first ones.
#' @param ... Passed on: for `"metrics"` and `"reliability"` to [autoplot()][autoplot_tables], as
#'   `by_class`; for `"saliency"` to `explain()`; for `plot()` without ggplot2 to
#'   [graphics::plot.default()].
#' @return `plot()`: the fit, invisibly. `autoplot()`: a ggplot.
#' @export
#' @examplesIf diglot_available()
#' digits <- example_images("digits")
#' fit <- image_classifier(
#'   label ~ image, digits[1:500, ],
#'   epochs = 4, validation = 0.2, seed = 1
#' )
#' plot(fit)
#' plot(fit, "confusion", digits[501:800, ])
plot.image_classifier <- function(x, type = "history", newdata = NULL, truth = NULL, n = 20, ...) {
  if (identical(type, "history") && is.null(newdata)) {
    plot_history(x, ...)
  } else {
    plot_table(x, type, newdata, truth, n = n, ...)
  }
  invisible(x)
}

plot_history <- function(x, ..., call = rlang::caller_env()) {
  if (nrow(x$history) == 0L) {
    abort_diglot("There is nothing to plot: the fit has no history.", call = call)
  }
  if (requireNamespace("ggplot2", quietly = TRUE)) {
    print(history_plot(x$history))
  } else {
    plot_base(x, ...)
  }
}

#' @rdname plot.image_classifier
#' @exportS3Method ggplot2::autoplot
autoplot.image_classifier <- function(object, type = "history", newdata = NULL, truth = NULL,
                                      n = 20, ...) {
  env <- rlang::current_env()
  rlang::check_installed("ggplot2", "to draw this plot.")
  type <- check_type(type, names(classifier_plots), env)
  if (type == "history") {
    return(history_plot(object$history))
  }
  if (is.null(newdata)) {
    abort_diglot(
      sprintf("`newdata` is missing: plots of type \"%s\" need images.", type),
      call = env
    )
  }
  classifier_plots[[type]](object, newdata, truth, n = n, ..., call = env)
}

# What each type of plot is made by.
classifier_plots <- list(
  history = NULL,
  metrics = function(fit, newdata, truth, n, ..., call) {
    ggplot2::autoplot(evaluate(fit, newdata, truth), ...)
  },
  confusion = function(fit, newdata, truth, n, ..., call) {
    rlang::check_dots_empty()
    confusion_plot(confusion_counts(fit, newdata, truth, call), call)
  },
  roc = function(fit, newdata, truth, n, ..., call) {
    ggplot2::autoplot(roc_curve(fit, newdata, truth), ...)
  },
  reliability = function(fit, newdata, truth, n, ..., call) {
    ggplot2::autoplot(reliability(fit, newdata, truth), ...)
  },
  images = function(fit, newdata, truth, n, ..., call) {
    rlang::check_dots_empty()
    fitted_pictures(fit, newdata, truth, n, call)
  },
  saliency = function(fit, newdata, truth, n, ..., call) {
    images <- newdata_images(fit, newdata, "newdata", call)
    ggplot2::autoplot(explain(fit, first_images(images, min(n, image_count(images))), ...), n = n)
  }
)

# Rows are the truth, columns the prediction.
confusion_counts <- function(fit, newdata, truth, call) {
  labels <- newdata_labels(fit, newdata, truth, "newdata", call)
  codes <- code_labels(labels, fit$levels, "truth", call)
  predicted <- class_column(fit, class_probabilities(fit, newdata, call))$.pred_class
  check_lengths(length(predicted), length(codes), call)
  unclass(table(truth = factor(fit$levels[codes + 1L], fit$levels), predicted = predicted))
}

fitted_pictures <- function(fit, newdata, truth, n, call) {
  images <- newdata_images(fit, newdata, "newdata", call)
  count <- image_count(images)
  check_number(n, "n", call)
  if (n < 1 || count == 0L) {
    abort_diglot("There is nothing to plot: `newdata` or `n` is 0.", call = call)
  }
  shown <- seq_len(min(n, count))
  labels <- if (!is.null(truth) || has_side(fit, newdata, "outcome")) {
    label_text(newdata_labels(fit, newdata, truth, "newdata", call), "truth", call)[shown]
  }
  images <- first_images(images, length(shown))
  payload <- image_payload(images, "newdata", call)
  prob <- call_bridge("predict_proba", live_model(fit, call), payload, call = call)
  pictures <- call_bridge("pictures", live_model(fit, call), payload, FALSE, call = call)
  picture_plot(
    pictures, class_column(fit, prob)$.pred_class, labels,
    probability = prob[cbind(shown, max.col(prob, "first"))]
  )
}

history_plot <- function(history) {
  curves <- history_curves(history)
  plot <- ggplot2::ggplot(
    curves, ggplot2::aes(.data$epoch, .data$value, colour = .data$images, shape = .data$images)
  ) +
    ggplot2::geom_line(ggplot2::aes(linetype = .data$images), data = several_epochs(curves)) +
    ggplot2::geom_point(size = 1.6) +
    ggplot2::facet_wrap(~measure, scales = "free_y", labeller = named_panels(in_words)) +
    ggplot2::scale_x_continuous(breaks = whole_breaks) +
    ggplot2::scale_colour_manual(values = set_colours, drop = TRUE) +
    ggplot2::labs(x = "epoch", y = NULL, colour = NULL, shape = NULL, linetype = NULL) +
    diglot_theme() +
    ggplot2::theme(legend.position = "bottom")
  if (nlevels(droplevels(curves$images)) == 1L) {
    plot <- plot + ggplot2::theme(legend.position = "none")
  }
  plot
}

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
  curves <- curves[is.finite(curves$value), ] # not every epoch measures everything
  curves$measure <- factor(curves$measure, unique(curves$measure))
  curves$images <- factor(curves$images, names(set_colours))
  curves
}

# A curve of one epoch is a point, at which ggplot2 would wonder.
several_epochs <- function(curves) {
  epochs <- stats::ave(curves$epoch, curves$measure, curves$images, FUN = length)
  curves[epochs > 1L, ]
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

#' Plot a captioner: its training, its captions, where it looks
#'
#' Without `newdata`, `plot()` draws loss and measures by epoch, by ggplot2 where it is installed;
#' `autoplot()` returns that ggplot. With `newdata` it draws images with their captions beneath, and
#' with `attention = TRUE` one image again for each word. There the parts at which the model did not
#' look are veiled, in black, or in white where the image is dark: the less it looked, the thicker.
#'
#' @inheritParams predict.diglot_captioner
#' @param x,object A fit, see [image_captioner()].
#' @param newdata Images, as for [predict()][predict.diglot_captioner]; one with
#'   `attention = TRUE`.
#' @param n How many images to draw at most: the first ones.
#' @param attention Whether to draw where the model looked, word by word.
#' @param columns How many panels there are side by side; by default about as many as fill the
#'   device.
#' @param ... For `newdata`: passed on to [predict()][predict.diglot_captioner]. Without it and
#'   without ggplot2: to [graphics::plot.default()].
#' @return `plot()`: the fit, invisibly. `autoplot()`: a ggplot.
#' @export
#' @examplesIf diglot_available()
#' data <- shapes(60, seed = 1, size = 32)
#' fit <- image_captioner(
#'   captions ~ image, data,
#'   hidden = 32, epochs = 2, validation = 0.2, seed = 1
#' )
#' plot(fit)
#' plot(fit, data, n = 4)
#' plot(fit, data[1, ], attention = TRUE)
plot.diglot_captioner <- function(x, newdata = NULL, n = 9, beams = 5, attention = FALSE,
                                  columns = NULL, ...) {
  env <- rlang::current_env()
  if (is.null(newdata)) {
    plot_history(x, ..., call = env)
    return(invisible(x))
  }
  images <- newdata_images(x, newdata, "newdata", env)
  count <- image_count(images)
  check_number(n, "n", env)
  if (n < 1 || count == 0L) {
    abort_diglot("There is nothing to plot: `newdata` or `n` is 0.", call = env)
  }
  if (attention) {
    check_attention(x, count, env)
    draw_attention(x, images, beams, columns, ..., call = env)
  } else {
    images <- first_images(images, min(n, count))
    texts <- predict(x, images, beams = beams, ...)$.pred_caption
    pictures <- call_bridge(
      "pictures", live_model(x, env), image_payload(images, "newdata", env), FALSE,
      call = env
    )
    draw_pictures(pictures, below = texts, columns = columns)
  }
  invisible(x)
}

#' @rdname plot.diglot_captioner
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_captioner <- function(object, ...) {
  rlang::check_installed("ggplot2", "to draw this plot.")
  history_plot(object$history)
}

check_attention <- function(x, count, call) {
  if (x$decoder$heads == 0L) {
    abort_diglot("This fit has no attention: it was made with `attention = FALSE`.", call = call)
  }
  if (count != 1L) {
    abort_diglot(
      sprintf("`attention = TRUE` is for one image, such as newdata[1, ]; there are %d.", count),
      call = call
    )
  }
}

first_images <- function(images, n) {
  if (is_observed(images)) {
    images$covariates <- lapply(images$covariates, utils::head, n)
    images$images <- first_images(images$images, n)
    return(images)
  }
  if (is.null(dim(images)) || is.list(images)) {
    return(images[seq_len(n)])
  }
  at <- c(list(images, seq_len(n)), rep(list(TRUE), length(dim(images)) - 1L), drop = FALSE)
  do.call(`[`, at)
}

draw_attention <- function(x, images, beams, columns, ..., call) {
  best <- predict(x, images, beams = beams, type = "all", ...)[1L, ]
  words <- best$.words[[1L]]
  looks <- best$.attention[[1L]]
  picture <- call_bridge(
    "pictures", live_model(x, call), image_payload(images, "newdata", call), TRUE,
    call = call
  )
  draw_pictures(
    rep(picture, length(words) + 1L),
    above = c("(image)", words),
    veils = c(list(NULL), lapply(seq_along(words), function(i) veil(looks[i, , ], picture[[1L]]))),
    columns = columns
  )
}

# Lets through what was looked at most. It has no hue, so that colours stay as they are and everyone
# sees the same: it is black, or white where the picture is dark.
veil <- function(attention, picture) {
  attention <- as.matrix(attention)
  share <- attention / max(attention, .Machine$double.xmin)
  grey <- if (mean(picture) < 0.4) 1 else 0
  array(grDevices::rgb(grey, grey, grey, 0.8 * (1 - share)), dim(attention))
}

# Panels of the same size: each a picture (height, width, 3) with a text above it or below it.
draw_pictures <- function(pictures, below = NULL, above = NULL, veils = NULL, columns = NULL) {
  size <- graphics::par("din")
  count <- length(pictures)
  columns <- min(count, columns %||% ceiling(sqrt(count * size[1L] / size[2L])))
  old <- graphics::par(
    mfrow = c(ceiling(count / columns), columns), mar = rep(0.2, 4L), oma = rep(0, 4L),
    xaxs = "i", yaxs = "i"
  )
  on.exit(graphics::par(old))
  graphics::par(cex = 1) # which mfrow has changed
  for (i in seq_len(count)) {
    graphics::plot.new()
    panel <- graphics::par("pin") # inches are the coordinates from here on
    graphics::plot.window(c(0, panel[1L]), c(0, panel[2L]))
    if (i == 1L) {
      fitted <- fit_texts(below %||% above, panel)
    }
    room <- c(panel[1L], panel[2L] - fitted$height)
    bottom <- if (is.null(below)) 0 else fitted$height
    draw_picture(pictures[[i]], room, bottom, veils[[i]])
    top <- if (is.null(below)) panel[2L] else fitted$height
    graphics::text(
      panel[1L] / 2, top - fitted$line * seq_along(fitted$lines[[i]]), fitted$lines[[i]],
      adj = c(0.5, 0), cex = fitted$cex
    )
  }
}

# As large as its room allows, in the middle; single pixels stay sharp.
draw_picture <- function(picture, room, bottom, veil = NULL) {
  scale <- min(room[1L] / ncol(picture), room[2L] / nrow(picture))
  half <- scale * c(ncol(picture), nrow(picture)) / 2
  middle <- c(room[1L] / 2, bottom + room[2L] / 2)
  corners <- c(middle - half, middle + half)
  place <- function(raster, interpolate) {
    graphics::rasterImage(
      raster, corners[1L], corners[2L], corners[3L], corners[4L],
      interpolate = interpolate
    )
  }
  place(grDevices::as.raster(picture), FALSE)
  if (!is.null(veil)) {
    place(grDevices::as.raster(veil), TRUE)
  }
}

# Texts broken into lines that are not wider than a panel, in the largest of some sizes at which the
# longest takes less than half of its height.
fit_texts <- function(texts, panel) {
  for (cex in c(0.9, 0.8, 0.7, 0.6, 0.5)) {
    lines <- lapply(texts, broken_lines, width = panel[1L], cex = cex)
    line <- 1.7 * graphics::strheight("M", "inches", cex = cex)
    height <- line * (max(lengths(lines)) + 0.5)
    if (height < panel[2L] / 2) {
      break
    }
  }
  list(lines = lines, line = line, height = height, cex = cex)
}

broken_lines <- function(text, width, cex) {
  lines <- character()
  for (word in strsplit(text, " ", fixed = TRUE)[[1L]]) {
    longer <- paste(c(lines[length(lines)], word), collapse = " ")
    fits <- length(lines) > 0L && graphics::strwidth(longer, "inches", cex = cex) <= width
    lines <- if (fits) c(lines[-length(lines)], longer) else c(lines, word)
  }
  lines
}
