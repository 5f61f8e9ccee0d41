# Pictures, saliency maps and confusion matrices as ggplots.

drawn <- function(plot) {
  withr::local_pdf(NULL)
  expect_silent(print(plot))
  ggplot2::ggplot_build(plot)
}

rasters_of <- function(plot) {
  found <- vapply(plot$layers, function(layer) inherits(layer$geom, "GeomRasterAnn"), NA)
  lapply(plot$layers[found], function(layer) layer$geom_params$raster)
}

test_that("a confusion matrix shows counts and shares", {
  skip_if_not_installed("ggplot2")
  for (k in c(2L, 10L, 20L)) {
    counts <- outer(seq_len(k), seq_len(k), function(i, j) (7 * i + 3 * j) %% 5)
    dimnames(counts) <- list(sprintf("a class $%d", 1:k), sprintf("a class $%d", 1:k))
    built <- drawn(diglot:::confusion_plot(counts))
    text <- built$data[[2L]]
    expect_identical(nrow(text), sum(counts > 0))
    expect_equal(as.numeric(text$label), counts[cbind(abs(text$y), text$x)])
    shares <- counts / rowSums(counts)
    expect_equal(built$plot$data$share, shares[counts > 0])
    # the first class is in the upper left corner
    expect_true(built$layout$panel_params[[1L]]$y.range[1L] < 0)
  }
})

test_that("many classes are shown without counts, and then without names", {
  skip_if_not_installed("ggplot2")
  for (k in c(40L, 100L)) {
    counts <- diag(k)
    dimnames(counts) <- list(seq_len(k), seq_len(k))
    built <- drawn(diglot:::confusion_plot(counts))
    expect_length(built$data, 1L)
    expect_length(built$layout$panel_params[[1L]]$x$get_labels(), if (k == 40L) 40L else 0L)
  }
})

test_that("wrong predictions are framed, and the truth is written", {
  skip_if_not_installed("ggplot2")
  pictures <- lapply(1:3, function(i) array(c(i / 4, 0, 0, 0, 0, 1), c(2, 3, 3)))
  plot <- diglot:::picture_plot(
    pictures, c("cat", "dog", "$x"), c("cat", "cat", "$x"),
    probability = c(0.9, 0.61, 0.8)
  )
  built <- drawn(plot)
  frame <- built$data[[length(built$data)]]
  expect_identical(as.integer(frame$PANEL), 2L)
  expect_identical(frame$colour, "#D55E00")
  expect_identical(
    lapply(rasters_of(plot), as.vector),
    lapply(pictures, function(picture) as.vector(grDevices::as.raster(picture)))
  )
  panels <- factor(1:3)
  shown <- plot$facet$params$labeller(data.frame(panel = panels))
  expect_identical(
    unlist(shown, use.names = FALSE), c("cat 0.90", "dog 0.61\ntruth: cat", "$x 0.80")
  )
  expect_silent(drawn(diglot:::picture_plot(pictures)))
})

test_that("saliency lies over the image in grey", {
  skip_if_not_installed("ggplot2")
  maps <- array(0, c(2L, 4L, 6L))
  maps[1L, 2L, 5L] <- 2
  maps[2L, 3L, 4L] <- 0.5
  found <- structure(
    list(
      maps = maps, images = array(0.6, c(2L, 4L, 6L, 3L)), classes = c("cat", "_x"),
      method = "grad_cam"
    ),
    class = "diglot_saliency"
  )
  plot <- ggplot2::autoplot(found)
  drawn(plot)
  over <- as.matrix(rasters_of(plot)[[2L]])
  grey <- grDevices::rgb(0.6, 0.6, 0.6)
  expect_identical(which(over != grey, arr.ind = TRUE), cbind(row = 2L, col = 5L))
  yellow <- grDevices::col2rgb(utils::tail(grDevices::hcl.colors(256L, "viridis"), 1L)) / 255
  expected <- grDevices::rgb(t(0.2 * 0.6 + 0.8 * yellow))
  expect_equal(
    grDevices::col2rgb(over[2L, 5L]), grDevices::col2rgb(expected),
    tolerance = 0.01, ignore_attr = TRUE
  )
  found$maps <- maps - maps[, 4:1, ]
  drawn(ggplot2::autoplot(found, n = 1))
  grey_images <- found
  grey_images$images <- array(0.5, c(2L, 4L, 6L, 1L))
  drawn(ggplot2::autoplot(grey_images))
  expect_error(ggplot2::autoplot(found, n = 0), "nothing to draw", class = "diglot_error_input")
})

test_that("a fit's plots of images equal what its functions answer", {
  skip_if_not_installed("ggplot2")
  fit <- small_fit()
  data <- planted_tibble()
  predicted <- predict(fit, data)$.pred_class
  counts <- drawn(ggplot2::autoplot(fit, "confusion", data))$plot$data
  known <- unclass(table(data$label, predicted))
  expect_identical(counts$n, as.integer(known[known > 0]))
  plot <- ggplot2::autoplot(fit, "images", data, n = 7)
  drawn(plot)
  expect_length(rasters_of(plot), 7L)
  picture <- data$image[[2L]]
  expect_identical(
    as.vector(as.matrix(rasters_of(plot)[[2L]])), grDevices::grey(as.vector(picture) / 255)
  )
  expect_length(rasters_of(ggplot2::autoplot(fit, "images", data["image"], n = 3)), 3L)
  withr::local_pdf(NULL)
  expect_identical(plot(fit, "images", data["image"], n = 3), fit)
  expect_error(ggplot2::autoplot(fit, "confusion"), "newdata", class = "diglot_error_input")
  expect_error(ggplot2::autoplot(fit, "pie", data), "type", class = "diglot_error_input")
})
