# Where the blocks are, as planted() puts them.
block_of <- function(label) {
  inside <- matrix(FALSE, 16L, 18L)
  if (label == "two") inside[2:4, 9:13] <- TRUE else inside[9:13, 2:4] <- TRUE
  inside
}

# The share of what speaks for the class that lies on its block, which is 5 % of the image.
share_on_block <- function(found, labels) {
  vapply(seq_along(labels), function(i) {
    map <- pmax(found$maps[i, , ], 0)
    sum(map[block_of(labels[i])]) / sum(map)
  }, 0)
}

test_that("maps lie on what decides the class", {
  fit <- seeing_fit()
  frame <- planted_tibble(10L)
  expect_identical(predict(fit, frame)$.pred_class, frame$label)
  least <- c(grad_cam = 0.1, integrated_gradients = 0.3, occlusion = 0.3)
  for (method in names(least)) {
    found <- explain(fit, frame, method = method)
    expect_s3_class(found, "diglot_saliency")
    expect_identical(dim(found$maps), c(10L, 16L, 18L))
    expect_identical(found$classes, frame$label)
    expect_identical(found$method, method)
    expect_gt(mean(share_on_block(found, frame$label)), least[[method]])
  }
})

test_that("images come back as the network sees them, with their rows and columns in place", {
  fit <- seeing_fit()
  data <- planted(4L)
  found <- explain(fit, data$image)
  expect_identical(dim(found$images), c(4L, 16L, 18L, 1L))
  expect_equal(found$images[, , , 1L], data$image / 255, tolerance = 1e-6)
  one <- explain(fit, data$image[2L, , , drop = FALSE])
  expect_identical(dim(one$maps), c(1L, 16L, 18L))
  expect_equal(one$maps[1L, , ], found$maps[2L, , ], tolerance = 1e-5)
})

test_that("integrated gradients sum to the score's change, and scores are the predictions", {
  fit <- seeing_fit()
  frame <- planted_tibble(6L)
  found <- explain(
    fit, frame, "ten",
    method = "integrated_gradients", steps = 200, baseline = "black", scale = "probability"
  )
  expect_true(all(found$classes == "ten"))
  expect_equal(found$scores, predict(fit, frame, type = "prob")$.pred_ten, tolerance = 1e-5)
  sums <- apply(found$maps, 1L, sum)
  expect_equal(found$completeness_error, sums - found$changes, tolerance = 1e-4)
  expect_lt(max(abs(found$completeness_error)), 0.05)
  black <- predict(fit, array(0L, c(1L, 16L, 18L)), type = "prob")$.pred_ten
  expect_equal(found$changes, found$scores - black, tolerance = 1e-5)
  same <- explain(
    fit, frame, rep("ten", 6L),
    method = "integrated_gradients", steps = 200, baseline = matrix(0, 16L, 18L),
    scale = "probability"
  )
  expect_equal(same$maps, found$maps, tolerance = 1e-6)
})

test_that("occlusion takes its settings", {
  fit <- seeing_fit()
  frame <- planted_tibble(3L)
  few <- explain(fit, frame, method = "occlusion", segments = 4, fill = "blur")
  expect_lte(max(apply(few$maps, 1L, function(map) length(unique(as.vector(map))))), 8L)
  expect_identical(few$settings$segments, 4L)
  expect_identical(few$settings$fill, "blur")
  expect_identical(few$scale, "log_odds")
  expect_null(few$changes)
})

test_that("the maps are those of Python", {
  fit <- seeing_fit()
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(fit, file)
  frame <- planted_tibble(2L)
  found <- explain(fit, frame, c("ten", "two"), scale = "log_odds")
  pixels <- vapply(frame$image, function(image) paste(t(image), collapse = ","), "")
  said <- python_says(c(
    "import numpy as np, diglot",
    sprintf("model = diglot.load(r'%s')", file),
    sprintf("pixels = [[%s], [%s]]", pixels[1L], pixels[2L]),
    "images = np.array(pixels, 'uint8').reshape(2, 16, 18)",
    "found = model.explain(images, ['ten', 'two'], scale='log_odds')",
    "print(*found.maps.ravel().tolist())"
  ))
  there <- as.numeric(strsplit(said[length(said)], " ", fixed = TRUE)[[1L]])
  expect_equal(as.vector(aperm(found$maps, 3:1)), there, tolerance = 1e-5)
})

test_that("explaining changes neither the fit nor R's random numbers", {
  fit <- seeing_fit()
  frame <- planted_tibble(4L)
  before <- predict(fit, frame, type = "prob")
  set.seed(3)
  state <- .Random.seed
  for (method in c("grad_cam", "integrated_gradients", "occlusion")) {
    explain(fit, frame, method = method)
  }
  expect_identical(.Random.seed, state)
  expect_identical(predict(fit, frame, type = "prob"), before)
})

test_that("no images give no maps", {
  fit <- seeing_fit()
  none <- explain(fit, planted_tibble()[0L, ])
  expect_identical(dim(none$maps), c(0L, 16L, 18L))
  expect_identical(length(none$classes), 0L)
  expect_output(print(none), "0 saliency maps")
})

test_that("what cannot be explained is refused", {
  fit <- fake_fit()
  frame <- planted_tibble(4L)
  expect_error(explain(fit), "newdata", class = "diglot_error_input")
  expect_error(explain(fit, frame, method = "lime"), "grad_cam", class = "diglot_error_input")
  expect_error(explain(fit, frame, step = 3), "layer|scale|step", class = "diglot_error_input")
  expect_error(
    explain(fit, frame, method = "integrated_gradients", step = 3), "steps",
    class = "diglot_error_input"
  )
  skip_if_no_diglot()
  expect_error(explain(seeing_fit(), frame, "six"), "six", class = "diglot_error_input")
  expect_error(
    explain(seeing_fit(), frame, c("two", "ten")), "one level, or 4",
    class = "diglot_error_input"
  )
  expect_error(
    explain(seeing_fit(), frame, method = "occlusion", fill = NA), "NA",
    class = "diglot_error_input"
  )
  expect_error(
    explain(seeing_fit(), frame, layer = "head"), "places",
    class = "diglot_error_input"
  )
  expect_error(explain(small_fit(), frame), "occlusion", class = "diglot_error_input")
})

test_that("saliency maps print in a few lines", {
  found <- structure(
    list(
      maps = array(1, c(3L, 8L, 9L)), images = array(1, c(3L, 8L, 9L, 1L)),
      classes = factor(c("two", "two", "ten"), c("two", "ten", "six")), method = "occlusion",
      scale = "log_odds", settings = list(segments = 50L, fill = "mean"), scores = 1:3
    ),
    class = "diglot_saliency"
  )
  said <- capture.output(shown <- print(found))
  expect_identical(shown, found)
  expect_match(said[1L], "3 saliency maps of 8 x 9 pixels", fixed = TRUE)
  expect_match(said[2L], "occlusion (segments 50, fill mean)", fixed = TRUE)
  expect_match(said[3L], "two (2), ten (1)", fixed = TRUE)
  found$completeness_error <- c(0.1, -0.2, 0)
  found$changes <- c(3, 2, 1)
  said <- capture.output(print(found))
  expect_match(said[5L], "(2 on average) by 0.1 on average, 0.2 at most", fixed = TRUE)
})

test_that("the settings are Python's", {
  skip_if_no_diglot()
  for (method in c("grad_cam", "integrated_gradients", "occlusion")) {
    said <- python_says(sprintf(
      "from diglot.explanation import settings_of; print(*settings_of('%s'))", method
    ))
    expect_setequal(saliency_settings(method), strsplit(said, " ", fixed = TRUE)[[1L]])
  }
})

test_that("worst errors are those of the predictions, the worst first", {
  fit <- small_fit()
  frame <- planted_tibble(12L)
  frame$label <- rep(c("ten", "ten", "two"), 4L) # half of them wrong
  frame$label <- factor(frame$label, c("two", "ten"))
  found <- worst_errors(fit, frame, n = 4)
  prob <- as.matrix(predict(fit, frame, type = "prob"))
  truth <- prob[cbind(1:12, as.integer(frame$label))]
  predicted <- predict(fit, frame)$.pred_class
  wrong <- which(predicted != frame$label)
  want <- utils::head(wrong[order(truth[wrong])], 4L)
  expect_named(
    found, c("row", "truth", "predicted", "probability", "probability_of_truth", "loss")
  )
  expect_identical(found$row, want)
  expect_identical(found$truth, frame$label[want])
  expect_identical(found$predicted, predicted[want])
  expect_equal(found$probability_of_truth, truth[want])
  expect_equal(found$loss, -log(truth[want]))
  expect_equal(worst_errors(fit, frame$image, frame$label, n = 4), found)
  expect_error(worst_errors(fit, frame, n = 0), "n must", class = "diglot_error_input")
  expect_error(worst_errors(1, frame), "fit", class = "diglot_error_input")
  right <- planted_tibble(12L)
  right$label <- predicted
  expect_identical(dim(worst_errors(fit, right)), c(0L, 6L))
})

test_that("nearest images are those of all distances", {
  fit <- small_fit()
  frame <- planted_tibble(20L)
  found <- nearest_images(fit, frame[1:3, ], frame[4:20, ], n = 4)
  expect_named(found, c("row", "rank", "neighbour", "distance", "label"))
  features <- embed(fit, frame)
  all <- as.matrix(stats::dist(features))[1:3, 4:20]
  for (i in 1:3) {
    mine <- found[found$row == i, ]
    expect_identical(mine$rank, 1:4)
    expect_equal(mine$distance, unname(sort(all[i, ])[1:4]), tolerance = 1e-5)
    expect_equal(unname(all[i, mine$neighbour]), mine$distance, tolerance = 1e-5)
    expect_identical(mine$label, frame$label[4:20][mine$neighbour])
  }
})

test_that("nearest images may be without labels, of none, or by angle", {
  fit <- small_fit()
  frame <- planted_tibble(8L)
  bare <- nearest_images(fit, frame$image[1:2], frame$image, n = 1, metric = "cosine")
  expect_identical(bare$neighbour, 1:2)
  expect_equal(bare$distance, c(0, 0), tolerance = 1e-6)
  expect_true(all(is.na(bare$label)))
  told <- nearest_images(fit, frame$image[1:2], frame$image, labels = letters[1:8], n = 1)
  expect_identical(told$label, c("a", "b"))
  expect_identical(nrow(nearest_images(fit, frame[0L, ], frame)), 0L)
  expect_error(nearest_images(fit, frame), "data", class = "diglot_error_input")
  expect_error(
    nearest_images(fit, frame, frame, labels = 1:3), "8 images",
    class = "diglot_error_input"
  )
  expect_error(
    nearest_images(fit, frame, frame, metric = "city"), "cosine",
    class = "diglot_error_input"
  )
})

test_that("whole numbers name levels as they are spelt", {
  skip_if_no_diglot()
  data <- planted_tibble()
  data$label <- ifelse(data$label == "two", 100000, 2)
  fit <- image_classifier(label ~ image, data, network = "mlp", epochs = 1, seed = 1)
  found <- explain(fit, data[1:2, ], class = 100000, method = "occlusion", segments = 4)
  expect_identical(as.character(found$classes), rep("100000", 2L))
  expect_false(anyNA(worst_errors(fit, data)$truth))
})
