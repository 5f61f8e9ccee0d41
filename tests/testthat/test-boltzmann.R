dots <- function(n = 60L, seed = 3L) {
  # Two patterns with noise, neither of which is its own mirror image.
  patterns <- list(matrix(0, 5L, 4L), matrix(0, 5L, 4L))
  patterns[[1L]][1:2, 1] <- 1
  patterns[[2L]][4, 2:4] <- 1
  label <- factor(rep(c("up", "down"), length.out = n), levels = c("up", "down"))
  noise <- array((sin(seq_len(n * 20L) * 12.9898 * seed) * 43758.5453) %% 1 < 0.1, c(n, 5L, 4L))
  image <- lapply(seq_len(n), function(i) {
    abs(patterns[[as.integer(label[i])]] - noise[i, , ])
  })
  tibble::tibble(image = image, label = label)
}

small_machine <- function() {
  skip_if_no_diglot()
  if (is.null(shared$machine)) {
    shared$machine <- rbm(dots()["image"], n_hidden = 6, epochs = 3, validation = 0.2, seed = 1)
  }
  shared$machine
}

small_deep <- function() {
  skip_if_no_diglot()
  if (is.null(shared$deep)) {
    shared$deep <- dbn(dots()["image"], widths = c(6, 4), epochs = 2, seed = 1)
  }
  shared$deep
}

test_that("settings have Python's names and defaults", {
  skip_if_no_diglot()
  theirs <- diglot:::call_bridge("machine_defaults")
  for (kind in c("rbm", "dbn")) {
    ours <- diglot:::machine_defaults(kind)
    expect_setequal(names(ours), names(theirs[[kind]]))
    for (name in names(ours)) {
      expect_equal(ours[[name]], unlist(theirs[[kind]][[name]]), info = name)
    }
    expect_equal(eval(formals(get(kind))[[2L]]), ours[[1L]])
  }
})

test_that("all ways in lead to the same machine, that of Python", {
  skip_if_no_diglot()
  data <- dots()
  stack <- aperm(simplify2array(data$image), c(3L, 1L, 2L))
  fit <- function(x) {
    fingerprint(rbm(x, n_hidden = 6, epochs = 2, k = 2, persistent = TRUE, seed = 5))
  }
  prints <- c(
    frame = fit(data["image"]), other_name = fit(tibble::tibble(picture = data$image)),
    list = fit(data$image), array = fit(stack)
  )
  expect_length(unique(prints), 1L)
  file <- withr::local_tempfile(fileext = ".csv")
  utils::write.table(matrix(aperm(stack, c(3L, 2L, 1L)), ncol = 60L), file,
    row.names = FALSE, col.names = FALSE
  )
  from_python <- python_says(c(
    "import diglot, numpy as np",
    sprintf("x = np.loadtxt(r'%s').T.reshape(60, 5, 4)", file),
    "print(diglot.RBM(6, epochs=2, k=2, persistent=True, seed=5).fit(x).fingerprint())",
    "print(diglot.DBN((6, 4), epochs=2, seed=1).fit(x).fingerprint())"
  ))
  expect_identical(from_python[1L], unname(prints[1L]))
  expect_identical(from_python[2L], fingerprint(small_deep()))
})

test_that("set.seed() decides where no seed is given", {
  skip_if_no_diglot()
  fit <- function() {
    set.seed(2)
    fingerprint(rbm(dots()["image"], n_hidden = 3, epochs = 1))
  }
  expect_identical(fit(), fit())
})

test_that("a machine answers", {
  fit <- small_machine()
  data <- dots()
  hidden <- predict(fit, data)
  expect_named(hidden, paste0(".h", 1:6))
  expect_identical(nrow(hidden), 60L)
  expect_true(all(hidden > 0 & hidden < 1))
  images <- predict(fit, data, type = "image")$.pred_image
  expect_identical(dim(images[[1L]]), c(5L, 4L))
  scores <- predict(fit, data, type = "score")
  expect_named(scores, c(".free_energy", ".log_pseudo_likelihood"))
  mirrored <- lapply(data$image, function(image) image[5:1, 4:1])
  expect_gt(
    mean(scores$.log_pseudo_likelihood),
    mean(predict(fit, mirrored, type = "score")$.log_pseudo_likelihood)
  )
  for (type in c("hidden", "image", "score")) {
    expect_identical(nrow(predict(fit, data[0, ], type = type)), 0L)
    expect_named(predict(fit, data[0, ], type = type), names(predict(fit, data, type = type)))
  }
  expect_error(predict(fit, data, type = "class"), "type", class = "diglot_error_input")
  expect_error(predict(fit), "newdata", class = "diglot_error_input")
})

test_that("a machine dreams", {
  fit <- small_machine()
  dreams <- simulate(fit, 3, seed = 1, steps = 20)
  expect_identical(dim(dreams$image[[3L]]), c(5L, 4L))
  expect_identical(simulate(fit, 3, seed = 1, steps = 20), dreams)
  set.seed(1)
  one <- simulate(fit, 2, steps = 5)
  set.seed(1)
  expect_identical(simulate(fit, 2, steps = 5), one)
  from <- simulate(fit, seed = 1, steps = 2, from = dots()[1:4, ])
  expect_length(from$image, 4L)
  expect_true(all(unlist(from$image) %in% 0:1))
  expect_identical(nrow(simulate(fit, seed = 1, from = dots()[0, ])), 0L)
  expect_error(simulate(fit, 2.5), "nsim", class = "diglot_error_input")
})

test_that("it says what it is", {
  fit <- small_machine()
  expect_output(print(fit), "Restricted Boltzmann machine.*20, binary.*hidden +6.*images +48")
  expect_output(print(summary(fit)), "n_hidden = 6.*FullyConnected")
  history <- tidy(fit)
  expect_identical(nrow(history), 3L)
  expect_true(all(c("reconstruction_error", "free_energy_gap", "val_pseudo_likelihood") %in%
    names(history)))
  row <- glance(fit)
  expect_identical(row$hidden, 6L)
  expect_equal(row$parameters, 6 * 20 + 6 + 20)
  deep <- small_deep()
  expect_output(print(deep), "Deep belief network.*layers +6 - 4")
  expect_identical(levels(tidy(deep)$layer), c("1", "2"))
  expect_identical(glance(deep)$layers, 2L)
  expect_named(predict(deep, dots()), paste0(".h", 1:4))
  expect_error(predict(deep, dots(), type = "score"), "type", class = "diglot_error_input")
})

test_that("filters are drawn as they lie", {
  skip_if_not_installed("ggplot2")
  fit <- small_machine()
  plot <- ggplot2::autoplot(fit, n = 4)
  expect_s3_class(plot, "ggplot")
  expect_length(Filter(function(layer) inherits(layer$geom, "GeomRasterAnn"), plot$layers), 4L)
  filters <- diglot:::split_images(diglot:::call_bridge("machine_filters", fit$cache$model))
  weights <- fit$cache$model$components_
  expect_equal(filters[[2L]], matrix(weights[2L, ], 5L, 4L, byrow = TRUE))
  expect_s3_class(ggplot2::autoplot(small_deep(), "history"), "ggplot")
  pdf(NULL)
  withr::defer(dev.off())
  expect_identical(plot(fit), fit)
  expect_error(ggplot2::autoplot(fit, n = 0), "nothing", class = "diglot_error_input")
})

test_that("machines are saved and loaded", {
  skip_if_no_diglot()
  for (fit in list(small_machine(), small_deep())) {
    file <- withr::local_tempfile(fileext = ".safetensors")
    again <- load_model(save_model(fit, file))
    expect_identical(class(again), class(fit))
    expect_identical(fingerprint(again), fingerprint(fit))
    expect_equal(predict(again, dots()["image"]), predict(fit, dots()))
    saved <- withr::local_tempfile()
    saveRDS(fit, saved)
    expect_equal(predict(readRDS(saved), dots()), predict(fit, dots()))
  }
})

test_that("a deep belief network is where a classifier begins", {
  deep <- small_deep()
  data <- dots()
  fit <- fine_tune(deep, label ~ image, data, epochs = 2, seed = 1)
  expect_s3_class(fit, "image_classifier")
  expect_identical(fit$network$name, "dbn")
  same <- image_classifier(
    label ~ image, data,
    network = deep, train = "head_then_all", epochs = 2, seed = 1
  )
  expect_identical(fingerprint(same), fingerprint(fit))
  head <- fine_tune(
    deep, label ~ image, data,
    train = "head", epochs = 30, learning_rate = 0.5, seed = 1
  )
  expect_equal(as.matrix(embed(head, data)), unname(as.matrix(predict(deep, data))),
    ignore_attr = TRUE, tolerance = 1e-5
  )
  expect_output(print(fit), "deep belief network")
})

test_that("what cannot be is refused", {
  skip_if_no_diglot()
  data <- dots()
  expect_error(rbm(data["image"], n_hiden = 3), "n_hiden", class = "diglot_error_input")
  expect_error(rbm(data["image"], n_hidden = 0), "n_hidden", class = "diglot_error_input")
  expect_error(dbn(data["image"], widths = c(3, NA)), "widths", class = "diglot_error_input")
  expect_error(rbm(data["image"], validation = data), "validation", class = "diglot_error_input")
  wrong <- data
  wrong$image[[3L]] <- wrong$image[[3L]] * 7
  expect_error(rbm(wrong["image"], n_hidden = 3), "row 3.*divide", class = "diglot_error_image")
  gaussian <- rbm(wrong["image"], n_hidden = 3, visible = "gaussian", epochs = 1, seed = 1)
  expect_true(all(is.na(predict(gaussian, wrong, type = "score")$.log_pseudo_likelihood)))
  expect_error(
    fine_tune(small_deep(), label ~ image, data, network = "lenet"), "network",
    class = "diglot_error_input"
  )
})
