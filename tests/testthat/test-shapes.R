# A digest of pixels row by row and of captions.
r_digest <- function(data) {
  file <- withr::local_tempfile()
  bytes <- Map(function(image, texts) {
    c(as.raw(aperm(image, 3:1)), charToRaw(paste(texts, collapse = "\n")))
  }, data$image, data$captions)
  writeBin(unlist(bytes), file)
  unname(tools::md5sum(file))
}

test_that("the same seed draws the same in both languages", {
  skip_if_no_diglot()
  for (split in c("train", "unseen")) {
    data <- shapes(20, seed = 7, size = 40, split = split)
    theirs <- python_says(c(
      "import hashlib, diglot",
      sprintf("data = diglot.shapes(20, 7, size=40, split='%s')", split),
      "made = hashlib.md5()",
      "for image, texts in zip(data['image'], data['captions']):",
      "    made.update(image.tobytes() + '\\n'.join(texts).encode())",
      "print(made.hexdigest())"
    ))
    expect_identical(r_digest(data), theirs)
  }
  expect_identical(shapes(20, seed = 7), shapes(30, seed = 7)[1:20, ])
  expect_false(identical(shapes(20, seed = 8), shapes(20, seed = 7)))
})

test_that("shapes are a table of images, captions and records", {
  skip_if_no_diglot()
  data <- shapes(40, seed = 1)
  expect_s3_class(data, "tbl_df")
  expect_named(data, c("image", "captions", "objects"))
  expect_type(data$image[[1L]], "integer")
  expect_identical(dim(data$image[[1L]]), c(64L, 64L, 3L))
  expect_true(all(lengths(data$captions) == 5L))
  expect_type(data$captions[[1L]], "character")
  records <- do.call(rbind, data$objects)
  expect_s3_class(records, "tbl_df")
  expect_named(records, c("shape", "colour", "size", "x", "y", "radius"))
  expect_setequal(unique(records$size), c("small", "large"))
  expect_type(records$x, "integer")
  expect_identical(dim(shapes(2, seed = 1, size = 33)$image[[2L]]), c(33L, 33L, 3L))
  expect_identical(lengths(shapes(2, seed = 1, captions = 2)$captions), c(2L, 2L))
  one <- shapes(1, seed = 1, captions = 1)
  expect_identical(one$captions, list(data$captions[[1L]][1L]))
  expect_identical(one$image[[1L]], data$image[[1L]])
})

test_that("the record says where the pixels are, counted from 1", {
  skip_if_no_diglot()
  data <- shapes(60, seed = 3)
  for (i in seq_len(nrow(data))) {
    image <- data$image[[i]]
    grey <- image[1L, 1L, 1L]
    found <- apply(abs(image - grey), 1:2, max) > 40
    expect_equal(sum(found), sum(vapply(seq_len(nrow(data$objects[[i]])), function(j) {
      one <- data$objects[[i]][j, ]
      reach <- -one$radius:one$radius
      box <- found[one$y + reach, one$x + reach]
      # it touches all four sides of its box, so neither centre nor extent is off by one
      touches <- c(
        any(box[1L, ]), any(box[nrow(box), ]), any(box[, 1L]), any(box[, ncol(box)])
      )
      expect_true(all(touches))
      rgb <- image[one$y, one$x, ]
      strongest <- c(
        red = 1L, green = 2L, blue = 3L, yellow = 1L, purple = 3L, orange = 1L
      )[[one$colour]]
      expect_identical(which.max(rgb), strongest)
      sum(box)
    }, 0)))
  }
})

test_that("no seed takes R's generator, and only one number of it", {
  skip_if_no_diglot()
  withr::local_seed(4)
  first <- shapes(3)
  after <- runif(1)
  set.seed(4)
  expect_identical(shapes(3), first)
  expect_identical(runif(1), after)
  set.seed(4)
  expect_identical(shapes(3, seed = sample.int(.Machine$integer.max, 1L)), first)
  shapes(3, seed = 1)
  expect_identical(runif(1), after)
})

test_that("no images make an empty table", {
  skip_if_no_diglot()
  none <- shapes(0, seed = 1)
  expect_identical(nrow(none), 0L)
  expect_true(all(vapply(none, is.list, NA)))
  verdict <- check_shapes(character(), none)
  expect_identical(dim(verdict), c(0L, 5L))
  expect_type(verdict$all, "logical")
})

test_that("arguments that do not fit are named", {
  skip_if_no_diglot()
  expect_error(shapes(-1), "n must", class = "diglot_error_input")
  expect_error(shapes(1.5), "n. must", class = "diglot_error_input")
  expect_error(shapes("a"), "`n`", class = "diglot_error_input")
  expect_error(shapes(NA), "`n`", class = "diglot_error_input")
  expect_error(shapes(1:2), "`n`", class = "diglot_error_input")
  expect_error(shapes(1, seed = NA_real_), "`seed`", class = "diglot_error_input")
  expect_error(shapes(1, size = 10), "size must", class = "diglot_error_input")
  expect_error(shapes(1, captions = 6), "captions must", class = "diglot_error_input")
  expect_error(shapes(1, split = "val"), "split must", class = "diglot_error_input")
  expect_error(shapes(1, split = 1), "split", class = "diglot_error_input")
})

test_that("captions are checked against the record", {
  skip_if_no_diglot()
  data <- shapes(50, seed = 2, split = "test")
  for (k in 1:5) {
    verdict <- check_shapes(vapply(data$captions, `[`, "", k), data)
    expect_named(verdict, c("colour", "size", "shape", "relation", "all"))
    expect_true(all(unlist(verdict)))
  }
  pair <- tibble::tibble(objects = list(tibble::tibble(
    shape = c("circle", "square"), colour = c("red", "blue"), size = c("small", "large"),
    x = c(10L, 45L), y = c(30L, 34L)
  )))
  right <- "A small red circle to the left of a large blue square."
  wrong <- list(
    colour = sub("red", "green", right), size = sub("small", "large", right),
    shape = sub("circle", "cross", right), relation = sub("left", "right", right)
  )
  expect_true(all(unlist(check_shapes(factor(right), pair))))
  for (name in names(wrong)) {
    verdict <- unlist(check_shapes(wrong[[name]], pair))
    expect_identical(names(verdict)[!verdict], c(name, "all"))
  }
  expect_false(any(unlist(check_shapes("a small red circle", pair))))
})

test_that("what cannot be checked is named", {
  skip_if_no_diglot()
  data <- shapes(2, seed = 1)
  expect_error(check_shapes("a", data), "1 captions but 2 rows", class = "diglot_error_input")
  expect_error(check_shapes(c("a", NA), data), "`captions`", class = "diglot_error_input")
  expect_error(check_shapes(1:2, data), "`captions`", class = "diglot_error_input")
  expect_error(check_shapes("a", 3), "\"objects\"", class = "diglot_error_input")
  expect_error(check_shapes(c("a", "b"), data[1:2]), "\"objects\"", class = "diglot_error_input")
  data$objects[[2L]]$colour <- NULL
  expect_error(check_shapes(c("a", "b"), data), "\"objects\"", class = "diglot_error_input")
})

test_that("a classifier learns from drawn shapes as they come", {
  skip_if_no_diglot()
  data <- shapes(12, seed = 1, size = 32)
  data$count <- vapply(data$objects, nrow, 0L)
  fit <- image_classifier(count ~ image, data, network = "mlp", epochs = 1, seed = 1)
  expect_identical(fit$network$channels, 3L)
})
