settings <- list(network = "mlp", epochs = 2, batch_size = 8, seed = 1)
train <- function(...) do.call(image_classifier, c(list(...), settings))

test_that("settings have Python's names and defaults", {
  skip_if_no_diglot()
  theirs <- diglot:::call_bridge("defaults")
  ours <- diglot:::setting_defaults()
  expect_setequal(names(ours), names(theirs))
  for (name in names(ours)) {
    expect_equal(ours[[name]], theirs[[name]], info = name)
  }
})

test_that("settings are checked by name", {
  expect_error(diglot:::checked_settings(epoch = 3), "epochs", class = "diglot_error_input")
  expect_error(diglot:::checked_settings(3), "named", class = "diglot_error_input")
  expect_error(
    diglot:::checked_settings(epochs = 3, epochs = 4), "twice",
    class = "diglot_error_input"
  )
  expect_error(
    image_classifier(label ~ image, planted_tibble(), epoch = 3), "epochs",
    class = "diglot_error_input"
  )
})

test_that("formulas are checked", {
  data <- planted_tibble(4L)
  refused <- function(formula, pattern, data. = data) {
    expect_error(image_classifier(formula, data.), pattern, class = "diglot_error_input")
  }
  refused(~image, "two sides")
  refused(label ~ image + label, "both sides")
  refused(label ~ image * id, "interaction", cbind(id = 1, data))
  refused(label ~ image + id - 1, "intercept", cbind(id = 1:4, data))
  refused(label ~ image + offset(id), "offset", cbind(id = 1:4, data))
  refused(label ~ 1, "no images")
  refused(label ~ imagge, "\"image\"")
  refused(labels ~ image, "\"label\"")
  refused(label ~ ., "'id' is the same", cbind(id = 1, data))
  refused(label ~ no_such_function(image), "cannot be evaluated")
  refused(label ~ image, "data frame", "data.csv")
})

test_that("missing settings and labels are refused", {
  data <- planted(6L)
  for (value in list(NA, NA_integer_, NaN)) {
    expect_error(
      image_classifier(data$image, data$label, seed = value), "`seed`",
      class = "diglot_error_input"
    )
  }
  expect_error(image_classifier(data$image), "label", class = "diglot_error_input")
})

test_that("images and labels must be as many", {
  data <- planted(6L)
  expect_error(
    image_classifier(data$image, data$label[-1L]), "6 images but 5 labels",
    class = "diglot_error_input"
  )
})

test_that("all ways in lead to the same fit", {
  skip_if_no_diglot()
  data <- planted()
  frame <- planted_tibble()
  prints <- c(
    formula = fingerprint(train(label ~ image, data = frame)),
    dot = fingerprint(train(label ~ ., data = frame)),
    frame = fingerprint(train(frame["image"], frame$label)),
    array = fingerprint(train(data$image, data$label)),
    list = fingerprint(train(frame$image, data$label)),
    channel = fingerprint(train(array(data$image, c(dim(data$image), 1L)), data$label)),
    raw = fingerprint(train(planted(type = "raw")$image, data$label)),
    environment = fingerprint({
      picture <- frame$image
      truth <- frame$label
      train(truth ~ picture)
    })
  )
  expect_length(unique(prints), 1L)
})

test_that("the fit is that of Python, to the byte", {
  skip_if_no_diglot()
  said <- python_says(c(
    "import numpy as np, pandas as pd, diglot",
    "n, h, w = 40, 16, 18",
    "noise = (np.arange(1, n * h * w + 1) * 7919) % 60",
    "image = noise.reshape((n, h, w), order='F').astype('uint8')",
    "label = np.arange(n) % 2",
    "image[label == 0, 1:4, 8:13] = 250",
    "image[label == 1, 8:13, 1:4] = 250",
    "def fit(images, labels, **more):",
    "    model = diglot.ImageClassifier(epochs=2, batch_size=8, seed=1, verbose=False, **more)",
    "    print(model.fit(images, labels).fingerprint())",
    "fit(image, label, network='lenet')",
    "fit(image, pd.Categorical.from_codes(label, ['two', 'ten']), network='lenet')",
    "fit(image.astype('float32') / np.float32(255), label, network='mlp')",
    "fit(image, label, network='mlp', validation=0.25, class_weight={0: 2.0, 1: 1.0})"
  ))
  said <- grep("^[0-9a-f]{64}$", said, value = TRUE)
  data <- planted()
  lenet <- image_classifier(
    data$image, data$label,
    network = "lenet", epochs = 2, batch_size = 8, seed = 1
  )
  expect_identical(fingerprint(lenet), said[1L])
  expect_identical(fingerprint(lenet), said[2L])
  # R's doubles and Python's floats
  doubles <- train(planted(type = "double")$image, data$label)
  expect_identical(fingerprint(doubles), said[3L])
  weighted <- train(
    data$image, data$label,
    validation = 0.25, class_weight = c(two = 2, ten = 1)
  )
  expect_identical(fingerprint(weighted), said[4L])
})

test_that("a transposed picture is another picture", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  fit <- image_classifier(label ~ image, frame, network = "mlp", epochs = 10, seed = 1)
  expect_gt(mean(predict(fit, frame)$.pred_class == frame$label), 0.95)
})

test_that("levels keep their order, ordered factors stay ordered", {
  skip_if_no_diglot()
  data <- planted()
  fit <- train(data$image, data$label)
  expect_identical(fit$levels, c("two", "ten"))
  expect_identical(levels(predict(fit, data$image)$.pred_class), c("two", "ten"))
  fit <- train(data$image, factor(data$label, levels = c("none", "two", "ten"), ordered = TRUE))
  expect_identical(fit$levels, c("two", "ten"))
  expect_s3_class(predict(fit, data$image)$.pred_class, "ordered")
})

test_that("labels may be numbers, logicals and text", {
  skip_if_no_diglot()
  data <- planted()
  codes <- as.integer(data$label)
  fit <- train(data$image, c(10, 9)[codes])
  expect_identical(fit$levels, c("9", "10"))
  expect_identical(levels(predict(fit, data$image)$.pred_class), c("9", "10"))
  expect_identical(train(data$image, codes == 1L)$levels, c("FALSE", "TRUE"))
  expect_identical(train(data$image, as.character(data$label))$levels, c("ten", "two"))
})

test_that("seed = NULL draws one integer from R's generator, nothing else touches it", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  quick <- function(seed = NULL) {
    image_classifier(label ~ image, frame, network = "mlp", epochs = 1, seed = seed)
  }
  set.seed(42)
  one <- quick()
  after <- .Random.seed
  set.seed(42)
  drawn <- sample.int(.Machine$integer.max, 1L)
  expect_identical(.Random.seed, after)
  expect_equal(one$seed, drawn)
  set.seed(42)
  expect_identical(fingerprint(quick()), fingerprint(one))
  expect_identical(fingerprint(quick(drawn)), fingerprint(one))
  expect_false(fingerprint(quick()) == fingerprint(one))

  before <- .Random.seed
  fit <- quick(7)
  predict(fit, frame)
  evaluate(fit, frame)
  summary(fit)
  update(fit, frame, epochs = 1)
  networks()
  example_images("digits")
  expect_identical(.Random.seed, before)
})

test_that("weights are a column or a vector, and count", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  frame$w <- rep(c(1, 3), length.out = nrow(frame))
  plain <- train(label ~ image, data = frame)
  column <- image_classifier(
    label ~ image, frame,
    weights = w, network = "mlp", epochs = 2, batch_size = 8, seed = 1
  )
  vector <- image_classifier(
    frame$image, frame$label,
    weights = frame$w, network = "mlp", epochs = 2, batch_size = 8, seed = 1
  )
  expect_identical(fingerprint(column), fingerprint(vector))
  expect_false(fingerprint(column) == fingerprint(plain))
})

test_that("validation data and class weights go along", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  held_out <- planted_tibble(10L)
  fit <- train(label ~ image, data = frame, validation = held_out)
  same <- train(frame$image, frame$label, validation = list(held_out$image, held_out$label))
  expect_true(all(c("val_loss", "val_accuracy") %in% names(tidy(fit))))
  expect_identical(fingerprint(fit), fingerprint(same))
  expect_error(
    train(label ~ image, data = frame, class_weight = c(three = 2)), "three",
    class = "diglot_error_input"
  )
  expect_error(
    train(label ~ image, data = frame, class_weight = 2), "named",
    class = "diglot_error_input"
  )
  expect_error(
    train(label ~ image, data = frame, validation = "half"), "validation",
    class = "diglot_error_input"
  )
  strange <- held_out
  strange$label <- "six"
  expect_error(
    train(label ~ image, data = frame, validation = strange), "six",
    class = "diglot_error_input"
  )
})

test_that("settings of every shape cross", {
  skip_if_no_diglot()
  fit <- image_classifier(
    label ~ image, planted_tibble(),
    network = network("mlp", hidden = c(8, 4)), epochs = 1, batch_size = 8,
    size = c(12, 10), class_weight = "balanced", optimizer = "adam", learning_rate = 0.01,
    clip_norm = 1, label_smoothing = 0.1, mixup = 0.2,
    augment = list(flip = "horizontal", rotate = 5, scale = c(0.9, 1.1)), seed = 2^31 + 1
  )
  expect_identical(c(fit$network$height, fit$network$width), c(12L, 10L))
  expect_equal(fit$network$parameters, 12 * 10 * 8 + 8 + 8 * 4 + 4 + 4 * 2 + 2)
  expect_equal(fit$seed, 2^31 + 1)
})

test_that("R functions follow the training, stop it, and fail as themselves", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  seen <- NULL
  fit <- image_classifier(
    label ~ image, frame,
    network = "mlp", epochs = 5, seed = 1,
    callbacks = list(function(row) seen <<- c(seen, row$loss), function(row) row$epoch < 2)
  )
  expect_identical(nrow(tidy(fit)), 2L)
  expect_equal(seen, tidy(fit)$loss)
  error <- tryCatch(
    train(label ~ image, data = frame, callbacks = function(row) stop("mine")),
    error = identity
  )
  expect_s3_class(error, "diglot_error_callback")
  expect_identical(conditionMessage(error$parent), "mine")
})

test_that("a diverged loss is an error that brings the best fit before", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  error <- tryCatch(
    image_classifier(
      label ~ image, frame,
      network = "mlp", epochs = 3, learning_rate = 1e30, momentum = 0, seed = 1,
      schedule = "constant"
    ),
    error = identity
  )
  expect_s3_class(error, "diglot_error_diverged")
  expect_match(conditionMessage(error), "learning_rate")
  expect_true(is.null(error$fit) || inherits(error$fit, "image_classifier"))
})

test_that("an interrupt keeps what was learned, with a warning", {
  skip_if_no_diglot()
  skip_on_os("windows")
  skip_if_not_installed("callr")
  frame <- planted_tibble(400L)
  mark <- withr::local_tempfile()
  process <- callr::r_bg(
    function(frame, mark) {
      library(diglot)
      warned <- NULL
      fit <- withCallingHandlers(
        image_classifier(
          label ~ image, frame,
          network = "lenet", epochs = 2000, seed = 1,
          callbacks = function(row) {
            if (row$epoch == 2) file.create(mark)
          }
        ),
        warning = function(w) {
          warned <<- class(w)
          invokeRestart("muffleWarning")
        }
      )
      # and Python is well afterwards
      list(warned = warned, epochs = nrow(tidy(fit)), predicted = nrow(predict(fit, frame[1:3, ])))
    },
    list(frame = frame, mark = mark),
    libpath = c(dirname(system.file(package = "diglot")), .libPaths())
  )
  withr::defer(process$kill())
  limit <- Sys.time() + 60
  while (!file.exists(mark) && process$is_alive() && Sys.time() < limit) Sys.sleep(0.1)
  process$interrupt()
  process$wait(30000)
  seen <- process$get_result()
  expect_true("diglot_warning_interrupted" %in% seen$warned)
  expect_gte(seen$epochs, 2L)
  expect_lt(seen$epochs, 2000L)
  expect_identical(seen$predicted, 3L)
})

test_that("update goes on and leaves the fit as it was", {
  fit <- small_fit()
  before <- fit$model
  more <- update(fit, planted_tibble(), epochs = 2)
  expect_identical(fit$model, before)
  expect_false(fingerprint(more) == fingerprint(fit))
  expect_gt(nrow(tidy(more)), nrow(tidy(fit)))
  expect_identical(more$levels, fit$levels)
  expect_error(
    update(fit, transform(planted_tibble(), label = "six")), "six",
    class = "diglot_error_input"
  )
})

test_that("update takes other changes to the images, and a function again", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  calls <- 0L
  same <- function(image, ...) {
    calls <<- calls + 1L
    image
  }
  fit <- image_classifier(
    label ~ image, frame,
    network = "mlp", epochs = 1, batch_size = 8, seed = 1, augment = same
  )
  expect_error(update(fit, frame), "give augment again", class = "diglot_error_input")
  calls <- 0L
  plain <- update(fit, frame, augment = NULL)
  expect_identical(calls, 0L)
  again <- update(fit, frame, augment = same)
  expect_identical(calls, nrow(frame))
  expect_identical(fingerprint(again), fingerprint(plain))
  expect_false(fingerprint(update(fit, frame, augment = "light")) == fingerprint(plain))
  expect_error(update(fit, frame, augment = "odd"), "no 'odd'", class = "diglot_error_input")
})

test_that("a training that was cut short is resumed to the same bytes", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  folder <- withr::local_tempdir()
  fit <- function(...) {
    image_classifier(
      label ~ image, frame,
      network = "mlp", epochs = 4, batch_size = 8, seed = 3, ...
    )
  }
  whole <- fit()
  cut <- tryCatch(
    fit(checkpoint = folder, callbacks = function(row) if (row$epoch == 2) stop("power cut")),
    diglot_error_callback = identity
  )
  expect_s3_class(cut, "diglot_error_callback")
  resumed <- fit(resume = folder)
  expect_identical(fingerprint(resumed), fingerprint(whole))
})

test_that("progress shows as lines in a knitted document", {
  skip_if_no_diglot()
  skip_if_not_installed("knitr")
  withr::local_options(knitr.in.progress = TRUE)
  frame <- planted_tibble()
  suppressMessages(expect_message(train(label ~ image, data = frame), "^epoch 1 .*loss"))
  expect_silent(train(label ~ image, data = frame, verbose = FALSE))
  withr::local_options(knitr.in.progress = NULL)
  expect_silent(train(label ~ image, data = frame))
  expect_error(train(label ~ image, data = frame, verbose = 3), class = "diglot_error_input")
})

test_that("knitr puts the lines into its output", {
  skip_if_no_diglot()
  skip_if_not_installed("knitr")
  withr::local_dir(withr::local_tempdir())
  frame <- planted_tibble()
  text <- c(
    "```{r}",
    "fit <- image_classifier(label ~ image, frame, network = 'mlp', epochs = 2, seed = 1)",
    "```"
  )
  document <- new.env(parent = environment())
  output <- knitr::knit(text = text, quiet = TRUE, envir = document)
  expect_match(output, "## epoch 1")
  expect_match(output, "## epoch 2")
})

test_that("bad input is refused by class, naming the culprit", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  refused <- function(..., pattern, class = "diglot_error_input", data = frame) {
    expect_error(
      image_classifier(label ~ image, data, ..., seed = 1, epochs = 1), pattern,
      class = class
    )
  }
  expect_error(
    image_classifier(label ~ image, frame, network = "lent"), "lenet",
    class = "diglot_error_input"
  )
  expect_error(
    image_classifier(label ~ image, frame, epochs = -3), "epochs",
    class = "diglot_error_input"
  )
  refused(network = "mlp", device = "gpu:7", pattern = "gpu", class = "diglot_error_device")
  refused(pattern = "one class|at least (two|2)|classes", data = transform(frame, label = "two"))
  refused(pattern = "row 3", data = within(frame, label[3L] <- NA))
  mixed <- frame
  mixed$image[[2L]] <- matrix(1L, 5L, 5L)
  refused(pattern = "size", data = mixed)
  folder <- withr::local_tempdir()
  broken <- file.path(folder, "broken.png")
  writeBin(as.raw(c(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1:20)), broken)
  files <- tibble::tibble(image = rep(broken, 4L), label = c("a", "b", "a", "b"))
  refused(pattern = "broken.png", class = "diglot_error_image", data = files)
  files$image <- file.path(folder, "nothing.png")
  refused(pattern = "nothing.png", class = "diglot_error_image", data = files)
  files$image[3L] <- NA
  refused(pattern = "row 3", data = files)
})

test_that("several devices train as one, and devices that do not go together are refused", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  trained <- function(device) {
    image_classifier(label ~ image, frame, network = "mlp", epochs = 2, seed = 1, device = device)
  }
  # Two parts of the processor stand for two GPUs.
  one <- trained("cpu")
  two <- trained(c("cpu:0", "cpu:1"))
  expect_equal(two$device, "cpu, cpu:1")
  expect_equal(
    predict(two, frame, type = "prob"), predict(one, frame, type = "prob"),
    tolerance = 1e-5
  )
  expect_error(trained(c("cpu", "gpu")), "differ", class = "diglot_error_input")
})
