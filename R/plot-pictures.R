# Images with what a model says of them, and with what it looks at, as ggplots.

# `pictures` are arrays (height, width, 3) from 0 to 1. Where the prediction is not the truth, the
# picture is framed, and the truth is written beneath.
picture_plot <- function(pictures, predicted = NULL, truth = NULL, probability = NULL,
                         columns = NULL) {
  count <- length(pictures)
  first <- predicted %||% truth %||% rep("", count)
  columns <- min(count, columns %||% ceiling(sqrt(count)))
  room <- max(8L, 90L %/% columns) # letters side by side on a page
  titles <- shorten(first, room - if (is.null(probability)) 0L else 5L)
  if (!is.null(probability)) {
    titles <- sprintf("%s %.2f", titles, probability)
  }
  wrong <- rep(FALSE, count)
  if (!is.null(predicted) && !is.null(truth)) {
    wrong <- as.character(predicted) != as.character(truth)
    titles <- ifelse(wrong, paste0(titles, "\ntruth: ", shorten(truth, room - 6L)), titles)
  }
  small <- max(unlist(lapply(pictures, function(x) dim(x)[1:2]))) <= 128L
  plot <- panels_of_pictures(pictures, titles, columns, interpolate = !small)
  if (any(wrong)) {
    framed <- picture_places(pictures)[wrong, ]
    plot <- plot + ggplot2::geom_rect(
      ggplot2::aes(
        xmin = .data$xmin, xmax = .data$xmax, ymin = .data$ymin, ymax = .data$ymax
      ),
      data = framed, inherit.aes = FALSE, fill = NA, colour = vermilion, linewidth = 1.3
    )
  }
  plot
}

# Each picture as wide or as high as its panel, in the middle; all panels have the usual shape.
picture_places <- function(pictures) {
  height <- vapply(pictures, nrow, 0L)
  width <- vapply(pictures, ncol, 0L)
  tall <- min(max(stats::median(height / width), 0.4), 1.6)
  scale <- pmin(1 / width, tall / height)
  tibble::tibble(
    panel = factor(seq_along(pictures)),
    xmin = 0.5 - scale * width / 2, xmax = 0.5 + scale * width / 2,
    ymin = (tall - scale * height) / 2, ymax = (tall + scale * height) / 2,
    tall = tall
  )
}

panels_of_pictures <- function(pictures, titles, columns, interpolate) {
  places <- picture_places(pictures)
  names(titles) <- levels(places$panel)
  layers <- lapply(seq_along(pictures), function(i) {
    at <- places[i, ]
    layer <- ggplot2::annotation_raster(
      grDevices::as.raster(pictures[[i]]),
      xmin = at$xmin, xmax = at$xmax, ymin = at$ymin, ymax = at$ymax, interpolate = interpolate
    )
    layer$data <- at["panel"] # in its own panel, not in all
    layer
  })
  ggplot2::ggplot(places) +
    layers +
    ggplot2::facet_wrap(~panel, ncol = columns, labeller = ggplot2::as_labeller(titles)) +
    ggplot2::coord_fixed(
      xlim = c(0, 1), ylim = c(0, places$tall[1L]), expand = FALSE, clip = "off"
    ) +
    ggplot2::theme_void(base_size = 10) +
    ggplot2::theme(
      strip.text = ggplot2::element_text(
        size = 7.5, vjust = 0, margin = ggplot2::margin(4, 0, 2, 0)
      ),
      strip.clip = "off",
      panel.spacing = ggplot2::unit(4, "pt"),
      plot.margin = ggplot2::margin(4, 4, 4, 4)
    )
}

#' Plot saliency maps
#'
#' Draws images, and beside each the parts of it that speak for a class: colours over the image in
#' grey. Each map is scaled by its largest value. Where maps have negative values, which speak
#' against the class, colours run to both sides.
#'
#' @param x,object What `explain()` gave: a list of class `diglot_saliency` with `maps` (image,
#'   height, width), `images` (image, height, width, channel), `classes` and `method`.
#' @param n How many images to draw at most: the first ones.
#' @param columns How many pairs there are side by side.
#' @param ... For `plot()`: passed on to `autoplot()`. Otherwise not used.
#' @return `autoplot()`: a ggplot. `plot()`: `x`, invisibly.
#' @exportS3Method ggplot2::autoplot
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE)
#' maps <- array(outer(1:8, 1:8), c(1, 8, 8))
#' found <- structure(
#'   list(maps = maps, images = maps / 64, classes = "corner", method = "occlusion"),
#'   class = "diglot_saliency"
#' )
#' plot(found)
autoplot.diglot_saliency <- function(object, n = 12, columns = NULL, ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  rlang::check_installed("ggplot2", "to draw this plot.")
  check_number(n, "n", env)
  count <- min(n, nrow(object$maps))
  if (count < 1) {
    abort_diglot("There is nothing to draw: there are no images, or `n` is 0.", call = env)
  }
  signed <- any(object$maps < 0)
  shades <- map_shades(signed)
  pairs <- lapply(seq_len(count), function(i) {
    picture <- shown_picture(object$images, i)
    list(picture, map_over(picture, as_matrix(object$maps, i), shades, signed))
  })
  titles <- rbind(shorten(object$classes[seq_len(count)]), in_words(object$method))
  columns <- columns %||% (if (count <= 3) 1L else if (count <= 8) 2L else 3L)
  pictures <- unlist(pairs, recursive = FALSE)
  small <- max(dim(object$maps)[2:3]) <= 128L
  low <- if (signed) -1 else 0
  panels_of_pictures(pictures, as.vector(titles), 2L * columns, interpolate = !small) +
    # nothing is drawn: the layer is there for the legend's sake
    ggplot2::geom_tile(
      ggplot2::aes(0.5, 0.5, fill = .data$weight),
      data = tibble::tibble(panel = factor(1L), weight = c(low, 1)), alpha = 0,
      width = 0, height = 0
    ) +
    ggplot2::scale_fill_gradientn(
      colours = shades, limits = c(low, 1), breaks = if (signed) c(-1, 0, 1) else c(0, 1),
      labels = if (signed) c("against", "none", "for") else c("none", "most"), name = NULL
    )
}

#' @rdname autoplot.diglot_saliency
#' @export
plot.diglot_saliency <- function(x, ...) plot_table(x, ...)

# Both are told apart by colour-blind readers, and in print.
map_shades <- function(signed) {
  grDevices::hcl.colors(256L, if (signed) "PuOr" else "viridis", rev = signed)
}

as_matrix <- function(maps, i) array(maps[i, , ], dim(maps)[2:3])

# An image of any number of channels as (height, width, 3) from 0 to 1, as Python shows it.
shown_picture <- function(images, i) {
  size <- dim(images)
  channels <- if (length(size) == 4L) size[4L] else 1L
  image <- if (length(size) == 4L) images[i, , , ] else images[i, , ]
  image <- array(image, c(size[2:3], channels))
  ends <- range(image)
  if (ends[1L] >= 0 && ends[2L] >= 0.5 && ends[2L] <= 1) {
    ends <- c(0, 1)
  }
  image <- (image - ends[1L]) / (if (ends[2L] > ends[1L]) ends[2L] - ends[1L] else 1)
  image[, , if (channels >= 3L) 1:3 else c(1L, 1L, 1L), drop = FALSE]
}

# The stronger a map is, the less of the image in grey shows through.
map_over <- function(picture, map, shades, signed) {
  grey <- 0.299 * picture[, , 1L] + 0.587 * picture[, , 2L] + 0.114 * picture[, , 3L]
  largest <- max(abs(map))
  share <- map / (if (largest > 0) largest else 1)
  place <- if (signed) (share + 1) / 2 else share
  colours <- grDevices::col2rgb(shades[1L + round(255 * place)]) / 255
  veil <- 0.8 * abs(share)
  array(
    vapply(1:3, function(channel) {
      (1 - veil) * as.vector(grey) + veil * colours[channel, ]
    }, numeric(length(map))),
    c(dim(map), 3L)
  )
}
