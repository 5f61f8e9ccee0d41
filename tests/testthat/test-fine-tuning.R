test_that("a pretrained network prints its card", {
  skip_if_no_diglot()
  net <- small_network(shared_weights())
  expect_s3_class(net, c("diglot_pretrained", "diglot_network"), exact = TRUE)
  lines <- capture.output(print(net))
  told <- c(
    "network +resnet20, 2,097 parameters", "input +16 x 18 pixels", "mean +0.4$", "std +0.2$",
    "outputs +5$", "groups +stem, stage1, stage2, stage3, head", "weights +.*weights.safetensors",
    "sha256 +[0-9a-f]{64}"
  )
  for (words in told) {
    expect_match(lines, words, all = FALSE)
  }
  expect_match(capture.output(print(summary(net))), "layer2_0_conv1 +Convolution", all = FALSE)
  expect_match(fingerprint(net), "^[0-9a-f]{64}$")
  other <- capture.output(print(small_network(shared_weights(), classes = 2)))
  expect_match(other, "replaced +head_weight, head_bias", all = FALSE)
})

test_that("long lines of a card are broken, and lie under each other", {
  words <- c(weights = "a file", skipped = paste(rep("some.tensor", 20L), collapse = ", "))
  lines <- diglot:::card_lines(words)
  expect_identical(lines[1L], "  weights     a file")
  expect_gt(length(lines), 3L)
  expect_true(all(startsWith(lines[-(1:2)], strrep(" ", 14L))))
  expect_lte(max(nchar(lines)), 80L)
})

test_that("fine-tuning is that of Python, to the byte", {
  skip_if_no_diglot()
  file <- shared_weights()
  said <- python_says(c(
    "import numpy as np, diglot",
    "n, h, w = 40, 16, 18",
    "noise = (np.arange(1, n * h * w + 1) * 7919) % 60",
    "image = noise.reshape((n, h, w), order='F').astype('uint8')",
    "label = np.arange(n) % 2",
    "image[label == 0, 1:4, 8:13] = 250",
    "image[label == 1, 8:13, 1:4] = 250",
    "net = diglot.pretrained(",
    sprintf("    'resnet20', r'%s', size=(16, 18), channels=1,", file),
    "    mean=[0.4] * 3, std=[0.2] * 3, depth=1, widths=(4, 6, 8))",
    "def fit(**given):",
    "    model = diglot.ImageClassifier(net, batch_size=8, seed=1, verbose=False, **given)",
    "    return model.fit(image, label)",
    "head = fit(train='head', epochs=2)",
    "print(head.fingerprint())",
    "print(fit(train='head_then_all', epochs=(1, 2)).fingerprint())",
    "print(fit(train=['stage3', 'head'], epochs=2, layer_decay=0.5).fingerprint())",
    "print(head.fine_tune(image, 1 - label, epochs=(1, 2), seed=3).fingerprint())",
    "print(np.array2string(net.embed(image)[1], precision=17, max_line_width=1e5)[1:-1])"
  ))
  prints <- grep("^[0-9a-f]{64}$", said, value = TRUE)
  net <- small_network(file)
  head <- tune(net, train = "head")
  expect_identical(fingerprint(head), prints[1L])
  expect_identical(fingerprint(tune(net, epochs = c(1, 2))), prints[2L])
  groups <- tune(net, train = c("stage3", "head"), layer_decay = 0.5)
  expect_identical(fingerprint(groups), prints[3L])
  frame <- planted_tibble()
  frame$other <- factor(ifelse(frame$label == "two", "b", "a"), c("a", "b"))
  again <- fine_tune(
    head, other ~ image, frame,
    train = "head_then_all", epochs = c(1, 2), seed = 3
  )
  expect_identical(fingerprint(again), prints[4L])
  expect_identical(again$levels, c("a", "b"))
  features <- unlist(embed(net, frame)[2L, ], use.names = FALSE)
  theirs <- scan(text = said[length(said)], quiet = TRUE)
  expect_length(features, 8L)
  expect_equal(features, theirs, tolerance = 1e-6)
})

test_that("all ways in lead to the same fit", {
  skip_if_no_diglot()
  net <- small_network(shared_weights())
  data <- planted()
  frame <- planted_tibble()
  train <- function(...) fine_tune(..., train = "head", epochs = 1, batch_size = 8, seed = 1)
  fits <- list(
    train(net, label ~ image, data = frame),
    train(net, formula = label ~ image, data = frame),
    train(net, frame["image"], frame$label),
    train(net, data$image, data$label),
    train(net, frame$image, y = data$label),
    image_classifier(
      label ~ image, frame,
      network = net, train = "head", epochs = 1, batch_size = 8, seed = 1
    )
  )
  expect_length(unique(vapply(fits, fingerprint, "")), 1L)
  frame$w <- rep(c(1, 3), length.out = nrow(frame))
  weighted <- train(net, label ~ image, frame, weights = w)
  expect_identical(
    fingerprint(weighted), fingerprint(train(net, data$image, data$label, weights = frame$w))
  )
  expect_false(fingerprint(weighted) == fingerprint(fits[[1L]]))
})

test_that("a fit tells what was frozen and where its weights came from", {
  skip_if_no_diglot()
  net <- small_network(shared_weights())
  head <- tune(net, train = "head")
  lines <- capture.output(print(head))
  expect_match(
    lines, "fine_tune(object = object, label ~ image, planted_tibble(), train",
    fixed = TRUE, all = FALSE
  )
  expect_match(lines, "learned +head$", all = FALSE)
  expect_match(lines, "frozen +stem, stage1, stage2, stage3$", all = FALSE)
  expect_match(lines, "weights +weights.safetensors$", all = FALSE)
  groups <- tune(head, train = "stage3", epochs = 1)
  expect_identical(groups$lineage[["learned"]], "stage3")
  expect_match(groups$lineage[["weights"]], substr(fingerprint(head), 1L, 16L), fixed = TRUE)
  both <- capture.output(print(summary(tune(net, epochs = c(1, 2)))))
  expect_match(both, "learned +head, then everything", all = FALSE)
  expect_match(both, "frozen +nothing", all = FALSE)
  expect_match(both, "epochs = c(1, 2)", fixed = TRUE, all = FALSE)
  expect_match(both, "layer3_0_conv1 +Convolution", all = FALSE)
  expect_false(any(grepl("Fine-tuned", capture.output(print(small_fit())))))

  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(head, file)
  expect_identical(load_model(file)$lineage, head$lineage)
})

test_that("what is frozen stays as it is", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  net <- small_network(shared_weights())
  before <- embed(net, frame)
  expect_identical(embed(tune(net, train = "head"), frame), before)
  more <- update(tune(net, train = "head"), frame, epochs = 1)
  expect_identical(embed(more, frame), before)
  expect_identical(nrow(tidy(more)), 3L)
  moved <- embed(tune(net, train = c("stage3", "head")), frame)
  expect_gt(max(abs(as.matrix(moved) - as.matrix(before))), 1e-4)
})

test_that("weights may be arrays by name", {
  skip_if_no_diglot()
  file <- shared_weights()
  diglot:::bridge()
  reader <- reticulate::import("diglot.weights.safetensors_file")
  arrays <- reader$read_safetensors(file)
  net <- small_network(arrays)
  expect_identical(fingerprint(net), fingerprint(small_network(file)))
  expect_match(net$card[["weights"]], "arrays")
})

test_that("a network revives from its recipe, here and in a fresh process", {
  skip_if_not_installed("callr")
  skip_if_no_diglot()
  file <- shared_weights()
  net <- small_network(file)
  frame <- planted_tibble(6L)
  again <- unserialize(serialize(net, NULL))
  expect_identical(embed(again, frame), embed(net, frame))
  saved <- withr::local_tempfile(fileext = ".rds")
  saveRDS(net, saved)
  there <- callr::r(
    function(saved, frame) {
      library(diglot)
      net <- readRDS(saved)
      fit <- fine_tune(
        net, label ~ image, frame,
        train = "head", epochs = 1, seed = 1
      )
      list(features = embed(net, frame), print = fingerprint(fit))
    },
    list(saved = saved, frame = frame),
    libpath = c(dirname(system.file(package = "diglot")), .libPaths())
  )
  expect_identical(there$features, embed(net, frame))
  here <- fine_tune(net, label ~ image, frame, train = "head", epochs = 1, seed = 1)
  expect_identical(there$print, fingerprint(here))
})

test_that("a relative path holds when the working folder changes", {
  skip_if_no_diglot()
  file <- shared_weights()
  net <- withr::with_dir(dirname(file), small_network(basename(file)))
  again <- unserialize(serialize(net, NULL))
  expect_identical(nrow(embed(again, planted_tibble(3L))), 3L)
})

test_that("weights that moved or changed are a clear error", {
  skip_if_no_diglot()
  file <- shared_weights()
  frame <- planted_tibble(4L)
  net <- small_network(file)
  again <- unserialize(serialize(net, NULL))
  file.rename(file, paste0(file, ".gone"))
  expect_identical(nrow(embed(net, frame)), 4L) # the live one needs no file
  error <- expect_error(
    embed(again, frame), "pretrained\\(\\) anew",
    class = "diglot_error_model_file"
  )
  expect_match(conditionMessage(error), "weights.safetensors", fixed = TRUE)
  python_says(c(
    "import safetensors.numpy",
    sprintf("weights = safetensors.numpy.load_file(r'%s.gone')", file),
    sprintf("safetensors.numpy.save_file({n: w + 1 for n, w in weights.items()}, r'%s')", file)
  ))
  expect_error(embed(again, frame), "other weights", class = "diglot_error_model_file")
})

test_that("features come as a table, or as an array where the layer keeps places", {
  fit <- small_fit()
  frame <- planted_tibble(6L)
  features <- embed(fit, frame)
  expect_s3_class(features, "tbl_df")
  expect_identical(names(features)[c(1L, 2L)], c(".e1", ".e2"))
  expect_identical(nrow(features), 6L)
  expect_identical(dim(embed(fit, frame[0L, ])), c(0L, length(features)))
  expect_equal(embed(fit, frame[c(5L, 2L), ]), features[c(5L, 2L), ], tolerance = 1e-6)
  expect_s3_class(stats::prcomp(features), "prcomp")

  net <- small_network(shared_weights())
  places <- embed(net, frame, layer = "layer2_0_relu2")
  expect_identical(dim(places), c(6L, 8L, 9L, 6L))
  pooled <- apply(embed(net, frame, layer = "layer3_0_relu2"), c(1L, 4L), mean)
  expect_equal(unname(as.matrix(embed(net, frame))), pooled, tolerance = 1e-5)
  expect_error(embed(net, frame, layer = "conv9"), "conv9", class = "diglot_error_input")
  expect_error(embed(net, frame, layer = 3), "layer", class = "diglot_error_input")
  expect_error(embed(net), "newdata", class = "diglot_error_input")
  expect_error(embed("a"), "fit", class = "diglot_error_input")
})

test_that("stats::embed() still is there", {
  expect_identical(embed(1:5, 2), stats::embed(1:5, 2))
  expect_identical(embed(x = 1:5, dimension = 2), stats::embed(1:5, 2))
})

test_that("learning rates are tried as in Python", {
  skip_if_no_diglot()
  frame <- planted_tibble()
  rates <- find_learning_rate(
    label ~ image, frame,
    network = "mlp", batch_size = 8, seed = 1, steps = 20, validation = 0.2
  )
  expect_s3_class(rates, c("diglot_learning_rates", "tbl_df"))
  expect_named(rates, c("learning_rate", "loss", "smoothed"))
  expect_equal(rates$learning_rate[1L], 1e-5)
  suggestion <- attr(rates, "suggestion")
  expect_true(suggestion %in% rates$learning_rate)
  data <- planted()
  same <- find_learning_rate(
    data$image, data$label,
    network = "mlp", batch_size = 8, seed = 1, steps = 20
  )
  expect_identical(same, rates)
  said <- python_says(c(
    "import numpy as np, diglot",
    "n, h, w = 40, 16, 18",
    "noise = (np.arange(1, n * h * w + 1) * 7919) % 60",
    "image = noise.reshape((n, h, w), order='F').astype('uint8')",
    "label = np.arange(n) % 2",
    "image[label == 0, 1:4, 8:13] = 250",
    "image[label == 1, 8:13, 1:4] = 250",
    "model = diglot.ImageClassifier('mlp', batch_size=8, seed=1, verbose=False)",
    "print(repr(model.find_learning_rate(image, label, steps=20).suggestion))"
  ))
  expect_equal(suggestion, as.numeric(said[length(said)]))
  expect_output(print(rates), "steeply at .*learning_rate")
  head <- find_learning_rate(
    label ~ image, frame,
    network = small_network(shared_weights()), train = "head", seed = 1, steps = 10
  )
  expect_lte(nrow(head), 10L)
  refused <- function(..., pattern) {
    expect_error(find_learning_rate(...), pattern, class = "diglot_error_input")
  }
  refused(label ~ image, frame, steps = "many", pattern = "steps")
  refused(label ~ image, frame, lowest = -1, seed = 1, pattern = "lowest")
  refused(data$image, data$label, rep(1, 40), pattern = "weights")
})

test_that("learning rates are drawn", {
  withr::local_pdf(NULL)
  rates <- tibble::new_tibble(
    tibble::tibble(learning_rate = 10^(-4:0), loss = 5:1, smoothed = 5:1),
    suggestion = 0.01, nrow = 5L, class = "diglot_learning_rates"
  )
  expect_identical(plot(rates), rates)
  expect_null(diglot:::plot_rates_base(rates))
  skip_if_not_installed("ggplot2")
  drawn <- ggplot2::ggplot_build(ggplot2::autoplot(rates))
  expect_identical(drawn$data[[3L]]$xintercept, -2) # on the logarithmic scale
  expect_identical(drawn$data[[2L]]$colour[1L], "#0072B2")
})

test_that("bad input is refused by class, naming the culprit", {
  expect_error(fine_tune(1), "pretrained", class = "diglot_error_input")
  expect_error(pretrained("lenet", 3), "weights", class = "diglot_error_input")
  expect_error(pretrained("lenet", list(1)), "named list", class = "diglot_error_input")
  expect_error(pretrained(3, "a"), "name", class = "diglot_error_input")
  unnamed <- c(list("lenet", "a"), rep(list(NULL), 8L), 3)
  expect_error(do.call(pretrained, unnamed), "named", class = "diglot_error_input")
  skip_if_no_diglot()
  file <- shared_weights()
  frame <- planted_tibble()
  net <- small_network(file)
  refused <- function(..., pattern, class = "diglot_error_input") {
    expect_error(fine_tune(...), pattern, class = class)
  }
  refused(net, pattern = "nothing to train on")
  refused(net, label ~ image, frame, network = "lenet", pattern = "network")
  refused(net, label ~ image, frame, train = "heads", pattern = "heads.*stem, stage1")
  refused(net, label ~ image, frame, train = "head", epochs = c(1, 2), pattern = "head_then_all")
  refused(net, label ~ image, frame, epoch = 3, pattern = "epochs")
  refused(network("lenet"), label ~ image, frame, pattern = "weights")
  expect_error(
    image_classifier(label ~ image, frame, train = "head"), "pretrained",
    class = "diglot_error_input"
  )
  expect_error(pretrained("resnet20"), "weights", class = "diglot_error_input")
  expect_error(pretrained("resnet2", file), "resnet20", class = "diglot_error_input")
  expect_error(
    pretrained("resnet20", "nothing.safetensors"), "nothing",
    class = "diglot_error_model_file"
  )
  # another network's weights: both shapes are named
  expect_error(
    pretrained("resnet20", file), "\\(4, 3, 3, 3\\).*\\(16, 3, 3, 3\\)",
    class = "diglot_error_model_file"
  )
  expect_error(pretrained("vgg11", file), "vgg11", class = "diglot_error_model_file")
  cut <- withr::local_tempfile(fileext = ".safetensors")
  writeBin(readBin(file, "raw", file.size(file) %/% 2), cut)
  expect_error(pretrained("resnet20", cut), basename(cut), class = "diglot_error_model_file")
  pickle <- withr::local_tempfile(fileext = ".pth")
  writeBin(charToRaw("PK archive/data.pkl"), pickle)
  expect_error(pretrained("resnet20", pickle), "safetensors", class = "diglot_error_model_file")
  expect_error(
    pretrained("lenet", weights_of_lenet(), size = 40), "dense_weight",
    class = "diglot_error_input"
  )
})

test_that("a model file is a network, of its own name only", {
  skip_if_no_diglot()
  file <- weights_of_lenet()
  net <- pretrained(weights = file)
  expect_identical(net$name, "lenet")
  expect_identical(fingerprint(net), fingerprint(load_model(file)))
  expect_error(pretrained("resnet20", file), "lenet", class = "diglot_error_model_file")
})

test_that("a hub that is not there is a download error", {
  skip_if_no_diglot()
  diglot:::bridge()
  skip_if_not(reticulate::py_module_available("huggingface_hub"), "huggingface_hub")
  cache <- withr::local_tempdir()
  os <- reticulate::import("os")
  os$environ$`__setitem__`("HF_HUB_OFFLINE", "1")
  withr::defer(os$environ$pop("HF_HUB_OFFLINE"))
  expect_error(
    pretrained("resnet50", weights = "nobody/no-such-model"), "nobody/no-such-model",
    class = "diglot_error_download"
  )
})

test_that("a fit stands for its network, or says which fits do", {
  skip_if_no_diglot()
  fit <- small_fit()
  frame <- planted_tibble()
  train <- function(network) {
    image_classifier(label ~ image, frame, network = network, train = "head", epochs = 1, seed = 1)
  }
  other <- train(fit)
  expect_equal(embed(other, frame[1:3, ]), embed(fit, frame[1:3, ]), tolerance = 1e-5)
  numbers <- image_regressor(size ~ image, measured(), network = "mlp", epochs = 1, seed = 1)
  expect_s3_class(train(numbers), "image_classifier")
  expect_error(
    train(rbm(planted()$image, n_hidden = 4, epochs = 1, seed = 1)), "`network` must be",
    class = "diglot_error_input"
  )
  baseline <- hog_classifier(label ~ image, frame)
  expect_error(train(baseline), "whose network", class = "diglot_error_input")
})
