test_that("a folder for each class becomes a table", {
  skip_if_no_diglot()
  skip_if_not_installed("png")
  folder <- withr::local_tempdir()
  for (class in c("dark", "light")) {
    dir.create(file.path(folder, class))
    for (i in 1:3) {
      value <- if (class == "dark") 0.1 else 0.9
      png::writePNG(
        matrix(value + i / 100, 8L, 9L), file.path(folder, class, paste0(i, ".png"))
      )
    }
  }
  files <- read_images(folder)
  expect_s3_class(files, "tbl_df")
  expect_identical(levels(files$label), c("dark", "light"))
  expect_identical(nrow(files), 6L)
  expect_true(all(file.exists(files$image)))

  fit <- image_classifier(label ~ image, files, network = "mlp", epochs = 1, seed = 1)
  expect_identical(fit$network$width, 9L)
  pixels <- lapply(files$image, function(file) {
    image <- round(png::readPNG(file) * 255)
    storage.mode(image) <- "integer"
    image
  })
  same <- image_classifier(pixels, files$label, network = "mlp", epochs = 1, seed = 1)
  expect_identical(fingerprint(same), fingerprint(fit))
})

test_that("images packed into one file are the same images", {
  skip_if_no_diglot()
  skip_if_not_installed("png")
  folder <- withr::local_tempdir()
  for (class in c("dark", "light")) {
    dir.create(file.path(folder, class))
    for (i in 1:3) {
      image <- outer(1:18, 1:14) / 400 + i / 50 + (class == "light") / 5
      png::writePNG(image, file.path(folder, class, paste0(i, ".png")))
    }
  }
  target <- withr::local_tempfile(fileext = ".rec")
  files <- read_images(folder)
  first <- file.path(folder, "dark")
  dir.create(file.path(first, "deeper"))
  file.copy(file.path(first, "1.png"), file.path(first, "deeper", "1.jpg"))
  expect_identical(nrow(read_images(folder)), nrow(files) + 1L)
  expect_identical(read_images(folder, extensions = c("png", "tif")), files)
  expect_identical(read_images(folder, recursive = FALSE), files)
  expect_error(read_images(folder, extensions = "gif"), "gif|no images", class = "diglot_error")
  expect_error(read_images(folder, extensions = 3), "extensions", class = "diglot_error_input")
  expect_error(read_images(folder, recursive = NA), "recursive", class = "diglot_error_input")
  unlink(file.path(first, "deeper"), recursive = TRUE)
  packed <- read_images(folder, cache = target)
  expect_identical(packed$image, sub(folder, target, files$image, fixed = TRUE))
  expect_identical(packed$label, files$label)
  expect_identical(read_images(target), packed)
  rows <- withr::local_tempfile(fileext = ".csv")
  write.csv(packed, rows, row.names = FALSE)
  again <- read.csv(rows, stringsAsFactors = TRUE)

  fitted <- function(data) {
    image_classifier(label ~ image, data, network = "mlp", size = 9, epochs = 1, seed = 1)
  }
  fit <- fitted(files)
  expect_identical(fingerprint(fitted(packed)), fingerprint(fit))
  expect_identical(fingerprint(fitted(again)), fingerprint(fit))
  for (size in list(9, c(9, 9), network("mlp", size = 9))) {
    small <- read_images(folder, cache = target, cache_size = size)
    expect_identical(fingerprint(fitted(small)), fingerprint(fit))
  }
  want <- predict(fit, files, type = "prob")
  expect_identical(predict(fit, packed, type = "prob"), want)
  found <- predict_files(fit, target)
  expect_identical(found$file, packed$image)
  expect_identical(found$.pred_dark, want$.pred_dark)

  unlink(file.path(folder, "dark", "2.png"))
  expect_identical(nrow(read_images(folder, cache = target)), 5L)
  expect_error(predict(fit, packed), "dark/2.png", class = "diglot_error_image")
  expect_error(read_images(folder, cache = "photos.zip"), "\\.rec", class = "diglot_error_input")
  expect_error(read_images(folder, cache = 3), "path", class = "diglot_error_input")
  expect_error(read_images(folder, cache_size = 8), "cache=", class = "diglot_error_input")
  expect_error(
    read_images(folder, cache = target, cache_size = "8"), "cache_size",
    class = "diglot_error_input"
  )
})

test_that("a packed file of a newer version says what to do", {
  skip_if_no_diglot()
  skip_if_not_installed("png")
  folder <- withr::local_tempdir()
  for (i in 1:2) {
    png::writePNG(matrix(0:8 / 9 / i, 3), file.path(folder, paste0(i, ".png")))
  }
  target <- file.path(withr::local_tempdir(), "photos.rec")
  packed <- read_images(folder, cache = target)
  contents <- sub("rec$", "jsonl", target)
  lines <- readLines(contents)
  newer <- sub('"version": 1', '"version": 2', lines[1], fixed = TRUE)
  expect_false(identical(newer, lines[1]))
  moved <- file.path(withr::local_tempdir(), "photos.rec")
  file.copy(target, moved)
  writeLines(c(newer, lines[-1]), sub("rec$", "jsonl", moved))
  refused <- function(does) {
    told <- expect_error(does, "version 2", class = "diglot_error_image")
    expect_match(conditionMessage(told), "install a newer diglot")
    expect_match(conditionMessage(told), "photos.jsonl")
  }
  refused(read_images(moved))
  image <- sub(target, moved, packed$image, fixed = TRUE)
  refused(image_regressor(image, 1:2, network = "mlp", size = 3, epochs = 1))
  expect_identical(read_images(target), packed)
})

test_that("an empty or missing folder is refused", {
  skip_if_no_diglot()
  folder <- withr::local_tempdir()
  expect_error(read_images(folder), basename(folder), class = "diglot_error_input")
  expect_error(read_images(file.path(folder, "gone")), "gone", class = "diglot_error_input")
  expect_error(read_images(1), "path", class = "diglot_error_input")
})

test_that("IDX files are read as R's own reader would", {
  skip_if_no_diglot()
  images <- withr::local_tempfile()
  labels <- withr::local_tempfile()
  # two images of 2 x 3 pixels, row by row
  writeBin(c(as.raw(c(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3)), as.raw(0:11)), images)
  writeBin(as.raw(c(0, 0, 8, 1, 0, 0, 0, 2, 7, 3)), labels)
  both <- read_idx(images, labels)
  expect_identical(both$image[[2L]], matrix(6:11, 2L, byrow = TRUE))
  expect_identical(as.character(both$label), c("7", "3"))
  expect_s3_class(both$label, "factor")
  expect_named(read_idx(images), "image")
  writeBin(as.raw(1:3), images)
  expect_error(read_idx(images), basename(images), class = "diglot_error_input")
})

test_that("example images are there, upright", {
  skip_if_no_diglot()
  digits <- example_images("digits")
  expect_identical(nrow(digits), 1797L)
  expect_identical(levels(digits$label), as.character(0:9))
  # the first digit is a zero: its middle is empty, its sides are not
  expect_identical(digits$image[[1L]][4:5, 4:5], matrix(0, 2L, 2L))
  expect_gt(digits$image[[1L]][5L, 2L] + digits$image[[1L]][5L, 3L], 0)
  expect_identical(dim(example_images("faces")$image[[1L]]), c(25L, 25L))
  textures <- example_images("textures")
  expect_identical(levels(textures$label), c("brick", "grass", "gravel"))
  expect_true(all(table(textures$label, textures$half) == 32L))
  expect_error(example_images("digit"), "digits", class = "diglot_error_input")
  expect_error(example_images(1), class = "diglot_error_input")
})

test_that("the catalogue is a table, a network a description", {
  skip_if_no_diglot()
  expect_true(all(c("mlp", "lenet") %in% networks()$name))
  expect_identical(networks("lenet")$parameters, 431080L)
  expect_error(networks(1), class = "diglot_error_input")
  net <- network("lenet", hidden = 20, size = 32)
  expect_identical(net$settings$hidden, 20)
  expect_output(print(net), "32 x 32")
  expect_error(network(1), class = "diglot_error_input")
  expect_error(network("lenet", 1), class = "diglot_error_input")
  expect_error(network("lenet", depth = 3), "depth", class = "diglot_error_input")
})
