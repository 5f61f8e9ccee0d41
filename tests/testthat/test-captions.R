karpathy <- function(file, caption = "Two dogs, <running>.") {
  writeLines(sprintf('{"images": [
    {"filename": "b.jpg", "filepath": "val2014", "split": "test",
     "sentences": [{"raw": "Ein Hund l\u00e4uft ."}, {"raw": "%s"}]},
    {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A cat ."}]},
    {"filename": "c.jpg", "split": "restval", "sentences": [{"raw": "A cow ."}]}
  ]}', caption), file, useBytes = TRUE)
  file
}

test_that("files of captions become tables", {
  skip_if_no_diglot()
  file <- karpathy(withr::local_tempfile(fileext = ".json"))
  data <- read_captions(file)
  expect_s3_class(data, "tbl_df")
  expect_identical(data$image, c("val2014/b.jpg", "a.jpg", "c.jpg"))
  expect_identical(
    data$captions, list(c("Ein Hund l\u00e4uft .", "Two dogs, <running>."), "A cat .", "A cow .")
  )
  expect_identical(
    data$split, factor(c("test", "train", "restval"), c("train", "restval", "test"))
  )
  some <- read_captions(file, "photos", split = c("train", "restval"))
  expect_identical(some$image, file.path("photos", c("a.jpg", "c.jpg")))
  expect_identical(read_captions(file, split = "train")$captions, list("A cat ."))

  writeLines(c("a.jpg#0\tA dog .", "b.jpg#0\tA cat .", "a.jpg#1\tA wet dog ."), file)
  data <- read_captions(file)
  expect_named(data, c("image", "captions"))
  expect_identical(data$captions, list(c("A dog .", "A wet dog ."), "A cat ."))

  writeLines(c("image,caption", "a.jpg,\"A dog , wet .\""), file)
  expect_identical(read_captions(file)$captions, list("A dog , wet ."))

  writeLines('{"images": [{"id": 7, "file_name": "a.jpg"}],
    "annotations": [{"id": 1, "image_id": 7, "caption": "A dog."}]}', file)
  expect_identical(read_captions(file)$captions, list("A dog."))
})

test_that("a bad file of captions is an error that names the record", {
  skip_if_no_diglot()
  file <- karpathy(withr::local_tempfile(fileext = ".json"), caption = " ")
  expect_error(
    read_captions(file), "record 2 of sentences of record 1 of images.*val2014/b.jpg",
    class = "diglot_error_input"
  )
  karpathy(file)
  expect_error(read_captions(file, split = "dev"), "no split 'dev'", class = "diglot_error_input")
  expect_error(read_captions(file, split = 1), "`split`", class = "diglot_error_input")
  expect_error(read_captions(file, split = NA), "`split`", class = "diglot_error_input")
  expect_error(read_captions(file, images = 1), "path", class = "diglot_error_input")
  expect_error(read_captions(1), "path", class = "diglot_error_input")
  expect_error(read_captions("nowhere.json"), "nowhere", class = "diglot_error_input")
  writeLines("some text", file)
  expect_error(read_captions(file), "COCO.*Karpathy.*Flickr8k", class = "diglot_error_input")
})
