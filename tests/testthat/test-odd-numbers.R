# Odd numbers and odd files go in; the right answer comes out, or a typed condition.

odd_levels <- c("a", "b")
odd_pixels <- function(n = 12L) array(as.integer((seq_len(n * 10 * 8) * 7919) %% 256), c(n, 10, 8))
odd_labels <- function(n = 12L) factor(rep(odd_levels, length.out = n))
odd_fit <- function(images, labels = odd_labels(nrow(images)), ...) {
  image_classifier(images, labels, network = "mlp", epochs = 1, seed = 1, ...)
}

test_that("numbers that are not finite are refused by class", {
  skip_if_no_diglot()
  fit <- odd_fit(odd_pixels())
  for (value in c(NA, NaN, Inf, -Inf, 1e300)) {
    images <- odd_pixels() / 255
    images[3L, 4L, 2L] <- value
    expect_no_warning(
      expect_error(predict(fit, images), "[Rr]ow 3", class = "diglot_error_input")
    )
    expect_error(odd_fit(images), class = "diglot_error_input")
  }
})

test_that("constant images tell nothing and do no harm", {
  skip_if_no_diglot()
  for (level in c(0L, 7L, 255L)) {
    images <- array(level, c(12L, 10L, 8L))
    prob <- predict(odd_fit(images), images, type = "prob")
    expect_equal(prob$.pred_a, rep(0.5, 12L), tolerance = 0.02)
  }
})

test_that("one image, no image, one class", {
  skip_if_no_diglot()
  images <- odd_pixels()
  fit <- odd_fit(images)
  every <- predict(fit, images, type = "prob")
  one <- predict(fit, images[1L, , , drop = FALSE], type = "prob")
  expect_equal(one, every[1L, ], tolerance = 1e-6)
  none <- predict(fit, images[0L, , , drop = FALSE])
  expect_identical(dim(none), c(0L, 1L))
  expect_error(odd_fit(images, factor(rep("a", 12L))), "one class", class = "diglot_error_input")
  expect_error(odd_fit(images[1L, , , drop = FALSE]), class = "diglot_error_input")
})

test_that("batches of one, and larger than the data", {
  skip_if_no_diglot()
  for (size in c(1L, 11L, 12L, 10000L)) {
    fit <- odd_fit(odd_pixels(), batch_size = size)
    prob <- predict(fit, odd_pixels(), type = "prob")
    expect_equal(prob$.pred_a + prob$.pred_b, rep(1, 12L), tolerance = 1e-6)
  }
})

test_that("arrays of any type mean the same", {
  skip_if_no_diglot()
  images <- odd_pixels()
  fit <- odd_fit(images)
  want <- predict(fit, images, type = "prob")
  raws <- array(as.raw(images), dim(images))
  expect_equal(predict(fit, raws, type = "prob"), want, tolerance = 1e-6)
  expect_equal(predict(fit, images / 255, type = "prob"), want, tolerance = 1e-5)
  expect_identical(fingerprint(odd_fit(raws)), fingerprint(fit))
  # logical is 0 and 1, as in R
  ink <- images > 127
  tried <- tryCatch(predict(fit, ink, type = "prob"), diglot_error_input = identity)
  if (!inherits(tried, "condition")) {
    expect_equal(tried, predict(fit, ink + 0, type = "prob"), tolerance = 1e-5)
  }
  for (strange in list(images + 0i, array("1", dim(images)), 3, NULL, list(), "", NA)) {
    found <- tryCatch(predict(fit, strange), diglot_error = identity)
    expect_true(inherits(found, "diglot_error") || nrow(found) == 0L)
  }
})

test_that("arrays whose dimensions were turned are read as they stand", {
  skip_if_no_diglot()
  images <- odd_pixels()
  fit <- odd_fit(images)
  turned <- aperm(aperm(images, c(3, 1, 2)), c(2, 3, 1))
  expect_identical(predict(fit, turned, type = "prob"), predict(fit, images, type = "prob"))
  every_second <- images[c(seq(1L, 12L, 2L)), , ]
  expect_equal(
    predict(fit, every_second, type = "prob"), predict(fit, images, type = "prob")[seq(1, 12, 2), ],
    tolerance = 1e-6
  )
})

test_that("regressors, taggers, captioners and machines take odd batches, too", {
  skip_if_no_diglot()
  images <- odd_pixels()
  raws <- array(as.raw(images), dim(images))
  fits <- list(
    image_regressor(images, seq_len(12) / 12, network = "mlp", epochs = 1, seed = 1),
    image_tagger(
      images, rep(list("x", c("x", "y"), "y"), 4L),
      network = "mlp", epochs = 1, seed = 1, batch_size = 10000
    ),
    image_captioner(
      images, rep(list(c("red on blue", "a red one"), "blue"), 6L),
      encoder = "convnet", hidden = 4, embedding = 4, heads = 1, epochs = 1, seed = 1
    )
  )
  for (fit in fits) {
    every <- predict(fit, images)
    expect_equal(predict(fit, raws), every, tolerance = 1e-6)
    expect_equal(predict(fit, images[5L, , , drop = FALSE]), every[5L, ], tolerance = 1e-6)
  }
})

test_that("hostile images are refused by class and by name", {
  skip_if_no_diglot()
  skip_on_os("windows")
  folder <- withr::local_tempdir()
  place <- function(name) file.path(folder, name)
  fit <- odd_fit(odd_pixels())
  png <- as.raw(c(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a))
  size <- as.raw(c(0x7f, 0xff, 0xff, 0xff))
  head <- c(as.raw(c(0, 0, 0, 13)), charToRaw("IHDR"), size, size, as.raw(c(8, 2, 0, 0, 0)))
  writeBin(c(png, head, raw(4)), place("bomb.png"))
  writeBin(png, place("cut.png"))
  writeBin(raw(0), place("empty.png"))
  writeLines("P3 1 1 255", place("text.png"))
  dir.create(place("folder.png"))
  file.symlink(place("circle.png"), place("circle.png"))
  file.symlink("/dev/zero", place("endless.png"))
  system2("mkfifo", shQuote(place("pipe.png")))
  for (name in c(list.files(folder), paste0(strrep("y", 300), ".png"))) {
    expect_error(predict(fit, place(name)), substr(name, 1L, 20L), class = "diglot_error_image")
  }
  found <- suppressWarnings(predict_files(fit, place(list.files(folder)), on_error = "report"))
  expect_identical(nrow(failures(found)), length(list.files(folder)))
})

test_that("names that are no UTF-8 are told of, and never shortened", {
  skip_if_no_diglot()
  skip_on_os(c("windows", "mac"))
  folder <- withr::local_tempdir()
  python_says(c(
    "import os, numpy as np",
    "from PIL import Image",
    sprintf("folder = os.fsencode(r'%s')", folder),
    "Image.fromarray(np.zeros((10, 8), 'uint8')).save(open(folder + b'/caf\\xe9.png', 'wb'), 'PNG')"
  ))
  fit <- odd_fit(odd_pixels())
  expect_error(read_images(folder), "udce9.*rename", class = "diglot_error_input")
  found <- predict_files(fit, folder)
  expect_match(found$file, "caf\\udce9.png", fixed = TRUE)
})
