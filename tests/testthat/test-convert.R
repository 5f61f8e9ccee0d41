payload <- diglot:::image_payload

test_that("a list of images of one size crosses as one array", {
  image <- planted(5L)$image
  sent <- payload(as_list_of_images(image))
  expect_identical(sent$kind, "array")
  expect_identical(sent$axis, "last")
  expect_identical(dim(sent$data), c(16L, 18L, 5L))
  expect_identical(sent$data[2L, 9L, 3L], image[3L, 2L, 9L])
})

test_that("images of different sizes or types cross one by one", {
  sent <- payload(list(matrix(1:6, 2L), matrix(1:8, 2L)))
  expect_identical(sent$kind, "list")
  expect_length(sent$items, 2L)
  expect_identical(payload(list(matrix(1:6, 2L), matrix(1:6 / 6, 2L)))$kind, "list")
})

test_that("images come in every documented form", {
  array <- planted(5L)$image
  expect_identical(payload(array)$axis, "first")
  expect_identical(payload(c("a.png", "b.png"))$paths, list("a.png", "b.png"))
  expect_identical(payload(factor("a.png"))$paths, list("a.png"))
  expect_identical(payload(list("a.png", "b.png"))$kind, "paths")
  expect_identical(payload(matrix(1:8, 2L))$dim, list(2L, 4L))
  frame <- data.frame(id = 1:5)
  frame$image <- array
  expect_identical(payload(frame)$dim, list(5L, 16L, 18L))
  expect_identical(payload(data.frame(pixels = I(matrix(1:8, 2L))))$dim, list(2L, 4L))
  expect_identical(payload(data.frame(file = "a.png"))$kind, "paths")
  expect_type(payload(array(TRUE, c(1L, 2L, 2L)))$data, "double")
  expect_null(dim(payload(planted(2L, type = "raw")$image)$data))
  expect_match(payload("~/a.png")$paths[[1L]], "^[^~]")
})

test_that("what is no image is refused by class, naming the culprit", {
  refused <- function(x, pattern, class = "diglot_error_input") {
    expect_error(payload(x), pattern, class = class)
  }
  refused(c("a.png", NA, ""), "rows 2 and 3")
  refused(1:5, "plain integer vector of length 5")
  refused(NULL, "nothing")
  refused(Sys.time(), "POSIXct")
  refused(data.frame(a = 1, b = 2), "\"a\", \"b\"")
  refused(data.frame(), "it has none")
  refused(array(1, c(1, 1, 1, 1, 1)), "5 dimensions")
  refused(list(matrix(1, 2, 2), NULL), "row 2", "diglot_error_image")
  refused(list(matrix(1, 2, 2), 1:4), "row 2", "diglot_error_image")
  refused(list(matrix(1, 2, 2), NA_character_), "row 2", "diglot_error_image")
  refused(list(matrix(1, 2, 2), "a.png"), "row 2", "diglot_error_image")
  image <- planted(5L, type = "double")$image
  image[4L, 2L, 3L] <- NaN
  refused(image, "row 4", "diglot_error_image")
  refused(as_list_of_images(image), "row 4", "diglot_error_image")
  image[2L, 1L, 1L] <- Inf
  refused(image, "rows 2 and 4", "diglot_error_image")
  image <- planted(5L)$image
  image[3L, 16L, 18L] <- 256L
  refused(image, "0 to 255 in row 3", "diglot_error_image")
  image[3L, 16L, 18L] <- NA
  refused(image, "row 3", "diglot_error_image")
  refused(list(matrix(1:4, 2L), matrix(-1L, 1L, 1L)), "row 2", "diglot_error_image")
  refused(array(c(TRUE, NA), c(2L, 1L, 1L)), "row 2", "diglot_error_image")
})

test_that("large numbers whose sum overflows are no missing pixels", {
  expect_identical(payload(array(.Machine$double.xmax, c(2L, 1L, 1L)))$kind, "array")
})

test_that("the order of levels is kept, levels that do not occur are not", {
  y <- factor(c("two", "ten", "two"), levels = c("two", "one", "ten"))
  sent <- diglot:::label_payload(y)
  expect_identical(sent$levels, list("two", "ten"))
  expect_identical(as.vector(sent$codes), c(0L, 1L, 0L))
  expect_false(sent$ordered)
  expect_true(diglot:::label_payload(as.ordered(y))$ordered)
})

test_that("labels of other types are sorted by value, in every locale", {
  send <- diglot:::label_payload
  expect_identical(send(c(10L, 9L))$levels, list("9", "10"))
  expect_identical(send(c(10, 9))$levels, list("9", "10"))
  expect_identical(send(c(10, 9))$type, "integer")
  expect_identical(send(c(TRUE, FALSE))$levels, list("FALSE", "TRUE"))
  expect_identical(send(c("b", "B", "a"))$levels, list("B", "a", "b"))
  expect_identical(send(100000)$levels, list("100000"))
})

test_that("what is no label is refused, naming the row", {
  refused <- function(y, pattern) {
    expect_error(diglot:::label_payload(y), pattern, class = "diglot_error_input")
  }
  refused(c("a", NA), "row 2")
  refused(factor(c("a", NA)), "row 2")
  refused(c(1, NaN), "row 2")
  refused(c(1, 2.5), "2.5 in row 2")
  refused(NULL, "missing")
  refused(Sys.Date(), "Date")
  refused(list("a"), "list")
  refused(matrix(1:4, 2L), "matrix")
})

test_that("labels are coded by a fit's levels, strangers are named", {
  levels <- c("two", "ten")
  expect_identical(as.vector(diglot:::code_labels(c("ten", "two"), levels)), c(1L, 0L))
  expect_identical(as.vector(diglot:::code_labels(7, c("3", "7"))), 1L)
  expect_error(
    diglot:::code_labels(c("ten", "six"), levels), "\"six\" \\(row 2\\)",
    class = "diglot_error_input"
  )
})

test_that("weights are checked", {
  send <- diglot:::weight_payload
  expect_null(send(NULL, 3L))
  expect_identical(as.vector(send(1:3, 3L)), c(1, 2, 3))
  expect_error(send(1:2, 3L), "3 numbers", class = "diglot_error_input")
  expect_error(send(c(1, NA, -1), 3L), "rows 2 and 3", class = "diglot_error_input")
})

test_that("tables from Python keep types, missing text and levels", {
  table <- diglot:::table_from(list(
    names = list("n", "text", "f"),
    types = list("plain", "text", "factor"),
    columns = list(
      array(1:2), list("a", NULL), list(codes = array(c(1L, -1L)), levels = list("x", "y"))
    )
  ))
  expect_identical(table$n, 1:2)
  expect_identical(table$text, c("a", NA))
  expect_identical(table$f, factor(c("y", NA), c("x", "y")))
})

test_that("a pile of pixels is split into its images", {
  image <- planted(3L)$image
  stack <- aperm(image, c(2L, 3L, 1L))
  expect_identical(diglot:::split_images(stack), as_list_of_images(image))
})

test_that("images and labels reach Python as they are, and come back", {
  skip_if_no_diglot()
  diglot:::bridge()
  python <- reticulate::import("diglot.bridge.received", convert = FALSE)
  for (type in c("integer", "double", "raw")) {
    image <- planted(5L, type = type)$image
    for (form in list(image, as_list_of_images(image))) {
      there <- python$images(payload(form))
      expect_identical(
        as.character(there$dtype), if (type == "double") "float32" else "uint8"
      )
      expect_identical(reticulate::py_to_r(there$shape), list(5L, 16L, 18L))
      # the planted pixel: row 2, column 9 of the first image, counted from 0 there
      value <- reticulate::py_to_r(there$item(0L, 1L, 8L))
      expect_equal(value, if (type == "double") 250 / 255 else 250, tolerance = 1e-7)
      expect_lt(reticulate::py_to_r(there$item(0L, 8L, 1L)), 60)
    }
  }
  colour <- array(as.integer(seq_len(2 * 3 * 4 * 3) %% 256), c(2L, 3L, 4L, 3L))
  there <- python$images(payload(colour))
  expect_identical(reticulate::py_to_r(there$item(1L, 2L, 0L, 2L)), colour[2L, 3L, 1L, 3L])
  there <- python$images(payload(as_list_of_images(colour)))
  expect_identical(reticulate::py_to_r(there$item(1L, 2L, 0L, 2L)), colour[2L, 3L, 1L, 3L])
  one <- python$images(payload(array(0.5, c(1L, 1L, 1L))))
  expect_identical(reticulate::py_to_r(one$shape), list(1L, 1L, 1L))
})
