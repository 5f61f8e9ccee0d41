test_that("settings and options have Python's names and defaults", {
  skip_if_no_diglot()
  theirs <- diglot:::call_bridge("captioner_defaults")
  ours <- diglot:::captioner_defaults()
  expect_setequal(names(ours), names(theirs$fit))
  for (name in names(ours)) {
    expect_equal(ours[[name]], theirs$fit[[name]], info = name)
  }
  same <- function(method, theirs, aside) {
    ours <- as.list(formals(method))
    for (name in setdiff(names(ours), aside)) {
      expect_equal(ours[[name]], theirs[[name]], info = name)
    }
  }
  # R says `type` for Python's return_all
  same(diglot:::predict.diglot_captioner, theirs$predict, c("object", "newdata", "type", "..."))
  expect_setequal(
    setdiff(names(formals(diglot:::predict.diglot_captioner)), c("object", "newdata", "type")),
    c(setdiff(names(theirs$predict), "return_all"), "...")
  )
  same(
    diglot:::evaluate.diglot_captioner, c(theirs$evaluate, theirs$predict),
    c("x", "newdata", "references", "...")
  )
})

test_that("the fit is that of Python, to the byte", {
  skip_if_no_diglot()
  said <- python_says(c(
    "import diglot",
    "data = diglot.shapes(60, 1, size=32)",
    "model = diglot.ImageCaptioner(hidden=32, epochs=1, seed=1, validation=0.2, verbose=False)",
    "model.fit(data[['image']], data['captions'])",
    "print(model.fingerprint())",
    "for text in model.predict(data[['image']][:5], beams=3):",
    "    print(text)",
    "found = model.predict(data[['image']][:1], beams=2, return_all=True)[0]",
    "print(repr(found[1].log_probability))",
    "print(repr(float(found[1].attention[3, 2, 1])))"
  ))
  data <- drawn(60L)
  fit <- image_captioner(
    captions ~ image, data,
    hidden = 32, epochs = 1, seed = 1, validation = 0.2
  )
  expect_identical(fingerprint(fit), said[1L])
  expect_identical(predict(fit, data[1:5, ], beams = 3)$.pred_caption, said[2:6])
  second <- predict(fit, data[1L, ], beams = 2, type = "all")[2L, ]
  expect_identical(second$.log_prob, as.numeric(said[7L]))
  # word 4, row 3, column 2
  expect_identical(second$.attention[[1L]][4L, 3L, 2L], as.numeric(said[8L]))
})

test_that("all ways in lead to the same fit", {
  skip_if_no_diglot()
  data <- drawn()
  # one caption a row, the same image in several rows, in any order
  long <- tibble::tibble(
    image = rep(data$image, lengths(data$captions)), caption = unlist(data$captions)
  )
  long <- long[order(long$caption), ]
  pixels <- aperm(array(unlist(data$image), c(32L, 32L, 3L, nrow(data))), c(4L, 1:3))
  prints <- c(
    formula = fingerprint(train_captions(captions ~ image, data = data)),
    long = fingerprint(train_captions(caption ~ image, data = long)),
    factor = fingerprint(train_captions(factor(caption) ~ image, data = long)),
    frame = fingerprint(train_captions(data["image"], data$captions)),
    asis = fingerprint(train_captions(data$image, I(data$captions))),
    array = fingerprint(train_captions(pixels, data$captions))
  )
  expect_length(unique(prints), 1L)
})

test_that("the encoder sees with 8-bit integers where that is asked for", {
  skip_if_no_diglot()
  data <- drawn()
  integers <- train_captions(captions ~ image, data = data, precision = "int8")
  floats <- train_captions(captions ~ image, data = data, precision = "float32")
  expect_identical(fingerprint(integers), fingerprint(floats))
  words <- "^answers as float32 for [0-9.]+ % of [0-9,]+ next words in training images' captions$"
  expect_match(integers$lineage[["int8"]], words)
  expect_null(floats$lineage)
  expect_output(print(integers), "int8 +answers as float32 for")
  p <- predict(integers, data[1:5, ], type = "all")
  q <- predict(floats, data[1:5, ], type = "all")
  expect_false(identical(p$.log_prob, q$.log_prob))
  expect_equal(p$.log_prob[p$.rank == 1L], q$.log_prob[q$.rank == 1L], tolerance = 0.05)
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(integers, file)
  again <- load_model(file)
  expect_identical(again$lineage, integers$lineage)
  expect_identical(predict(again, data[1:5, ], type = "all"), p)
  expect_error(
    train_captions(captions ~ image, data = data, precision = "int4"), "precision",
    class = "diglot_error_input"
  )
})

test_that("images come from files, too", {
  skip_if_no_diglot()
  skip_if_not_installed("png")
  data <- drawn(20L)
  folder <- withr::local_tempdir()
  files <- file.path(folder, sprintf("%02d.png", 1:20))
  for (i in 1:20) png::writePNG(data$image[[i]] / 255, files[i])
  listed <- tibble::tibble(image = files, captions = data$captions)
  fit <- train_captions(captions ~ image, data = listed)
  expect_identical(fingerprint(fit), fingerprint(train_captions(captions ~ image, data = data)))
  expect_identical(predict(fit, listed[1:3, ]), predict(fit, data[1:3, ]))
  withr::local_pdf(NULL)
  expect_identical(plot(fit, listed, n = 2), fit)
})

test_that("encoders are names, networks, pretrained ones and fitted classifiers", {
  skip_if_no_diglot()
  data <- drawn()
  own <- train_captions(
    captions ~ image,
    data = data, encoder = network("convnet", widths = c(4, 8)), decoder = "gru", layers = 2
  )
  expect_identical(own$network$name, "convnet")
  expect_identical(own$decoder$cell, "gru")
  net <- small_network(shared_weights(), size = 32, channels = 3)
  fit <- train_captions(captions ~ image, data = data, encoder = net)
  expect_output(print(fit), "Encoder.*weights")

  data$count <- vapply(data$objects, nrow, 0L)
  seen <- image_classifier(
    count ~ image, data,
    network = network("convnet", widths = c(4, 8)), epochs = 1, seed = 1
  )
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(seen, file)
  fit <- train_captions(captions ~ image, data = data, encoder = seen)
  same <- train_captions(captions ~ image, data = data, encoder = pretrained(weights = file))
  expect_identical(fingerprint(fit), fingerprint(same))
  expect_error(
    train_captions(captions ~ image, data = data, encoder = small_captioner()), "`encoder`",
    class = "diglot_error_input"
  )
})

test_that("predictions are tibbles, one row an image or a caption", {
  fit <- small_captioner()
  data <- drawn(5L)
  best <- predict(fit, data)
  expect_s3_class(best, "tbl_df")
  expect_named(best, ".pred_caption")
  expect_type(best$.pred_caption, "character")
  expect_identical(predict(fit, data$image), best)
  expect_identical(predict(fit, data[5:1, ])$.pred_caption, rev(best$.pred_caption))

  all <- predict(fit, data, beams = 3, type = "all")
  expect_named(all, c(
    ".row", ".rank", ".pred_caption", ".log_prob", ".score", ".ended", ".words", ".attention"
  ))
  expect_identical(all$.row, rep(1:5, each = 3L))
  expect_identical(all$.rank, rep(1:3, 5L))
  expect_identical(all$.pred_caption[all$.rank == 1L], predict(fit, data, beams = 3)$.pred_caption)
  expect_true(all(all$.log_prob < 0))
  expect_true(all(tapply(all$.score, all$.row, function(score) !is.unsorted(-score))))
  # Wu and others (2016): the caption's end, or the word that would be too many, counts, too
  length <- lengths(all$.words) + 1
  expect_equal(all$.score, all$.log_prob / ((5 + length) / 6), tolerance = 1e-5)
  expect_identical(vapply(all$.words, paste, "", collapse = " "), all$.pred_caption)
  for (i in seq_len(nrow(all))) {
    looks <- all$.attention[[i]]
    expect_identical(dim(looks)[1L], length(all$.words[[i]]))
    expect_equal(apply(looks, 1L, sum), rep(1, nrow(looks)), tolerance = 1e-4)
  }
})

test_that("captions are drawn at random, and repeat", {
  fit <- small_captioner()
  data <- drawn(2L)
  drawn <- predict(fit, data, type = "all", temperature = 1, samples = 4, seed = 3)
  expect_identical(drawn$.row, rep(1:2, each = 4L))
  expect_gt(length(unique(drawn$.pred_caption)), 2L)
  expect_identical(
    predict(fit, data, type = "all", temperature = 1, samples = 4, seed = 3), drawn
  )
  set.seed(1)
  before <- .Random.seed
  expect_identical(
    predict(fit, data, top_p = 0.5), predict(fit, data, top_p = 0.5, seed = fit$seed)
  )
  expect_identical(.Random.seed, before)
  short <- predict(fit, data, type = "all", max_length = 3)
  expect_true(all(lengths(short$.words) <= 3L))
})

test_that("without attention there is none", {
  skip_if_no_diglot()
  data <- drawn()
  fit <- train_captions(captions ~ image, data = data, attention = FALSE)
  all <- predict(fit, data[1:2, ], beams = 2, type = "all")
  expect_identical(all$.attention, vector("list", nrow(all)))
  expect_output(print(fit), "no attention")
  expect_error(
    plot(fit, data[1L, ], attention = TRUE), "no attention",
    class = "diglot_error_input"
  )
})

test_that("no images give no rows", {
  fit <- fake_captioner()
  none <- tibble::tibble(image = list(), caption = character())
  expect_identical(predict(fit, none), tibble::tibble(.pred_caption = character()))
  all <- predict(fit, none, type = "all")
  expect_identical(nrow(all), 0L)
  expect_named(augment(fit, none), c("image", "caption", ".pred_caption"))
  expect_identical(names(all), names(predict(small_captioner(), drawn(1L), type = "all")))
  expect_identical(
    vapply(all, typeof, ""),
    vapply(predict(small_captioner(), drawn(1L), type = "all"), typeof, "")
  )
})

test_that("metrics come with intervals, from references of either form", {
  fit <- small_captioner()
  data <- drawn(12L, seed = 9)
  table <- evaluate(fit, data, meteor = FALSE, resamples = 100)
  expect_named(table, c("metric", "estimate", "lower", "upper", "method", "n"))
  expect_identical(
    table$metric, c("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d")
  )
  expect_true(all(table$n == 12L))
  expect_true(all(table$lower <= table$estimate & table$estimate <= table$upper))
  same <- evaluate(fit, data["image"], data$captions, meteor = FALSE, resamples = 100)
  expect_identical(same, table)
  # rows with the same image are one image
  long <- tibble::tibble(
    image = rep(data$image, lengths(data$captions)), captions = unlist(data$captions)
  )
  seen <- evaluate(fit, long, meteor = FALSE, resamples = 100)
  expect_true(all(seen$n == 12L))
  # drawn captions are judged as those that predict() draws: all the same where all are certain
  sure <- evaluate(fit, data, beams = 1, meteor = FALSE, resamples = 100)
  drawn <- evaluate(fit, data, temperature = 1e-3, seed = 2, meteor = FALSE, resamples = 100)
  expect_equal(drawn$estimate, sure$estimate, tolerance = 1e-12)
  wild <- function(seed) {
    evaluate(fit, data, temperature = 5, seed = seed, meteor = FALSE, resamples = 100)$estimate
  }
  expect_identical(wild(2), wild(2))
  expect_false(isTRUE(all.equal(wild(2), wild(3))))
  few <- evaluate(fit, data, temperature = 5, top_p = 1e-6, meteor = FALSE, resamples = 100)
  expect_equal(few$estimate, sure$estimate, tolerance = 1e-12)
  expect_equal(seen$estimate, table$estimate, tolerance = 1e-12)
  # BLEU-1 by hand: Papineni and others (2002)
  texts <- strsplit(predict(fit, data)$.pred_caption, " ")
  references <- lapply(data$captions, strsplit, " ")
  hits <- Map(function(words, mine) {
    kinds <- unique(words)
    most <- do.call(pmax, lapply(mine, function(r) table(factor(r, kinds))))
    sum(pmin(table(factor(words, kinds)), most))
  }, texts, references)
  nearest <- Map(function(words, mine) {
    sizes <- sort(lengths(mine))
    sizes[which.min(abs(sizes - length(words)))]
  }, texts, references)
  told <- sum(lengths(texts))
  brevity <- min(1, exp(1 - sum(unlist(nearest)) / told))
  expect_equal(table$estimate[1L], brevity * sum(unlist(hits)) / told, tolerance = 1e-6)
})

test_that("tidy, glance, augment, print and summary tell of the fit", {
  fit <- small_captioner()
  expect_true(all(c(
    "epoch", "loss", "val_loss", "val_bleu_4", "val_rouge_l", "val_cider_d"
  ) %in% names(tidy(fit))))
  row <- glance(fit)
  expect_identical(nrow(row), 1L)
  expect_identical(row$encoder, "convnet")
  expect_identical(row$decoder, "lstm")
  expect_identical(row$captions, 240L)
  expect_identical(row$words, length(fit$words))
  expect_identical(row$fingerprint, fingerprint(fit))
  data <- drawn(3L)
  both <- augment(fit, data, beams = 2)
  expect_identical(both$captions, data$captions)
  expect_identical(both$.pred_caption, predict(fit, data, beams = 2)$.pred_caption)
  expect_identical(names(augment(fit, data$image)), ".pred_caption")
  lines <- capture.output(print(fit))
  expect_match(lines, "convnet for images of 32 x 32 x 3", all = FALSE)
  expect_match(lines, "LSTM, 32 units, attention, 4 heads", all = FALSE)
  expect_match(lines, "240 in 48 rows", all = FALSE)
  expect_output(print(summary(fit)), "RNN")
  lines <- capture.output(print(fake_captioner(0L)))
  expect_match(lines, "GRU, 2 layers of 32 units, no attention", all = FALSE)
  expect_match(lines, "val_cider_d 0.5, reward 0.4$", all = FALSE)
})

test_that("a fit survives files, saveRDS() and other processes", {
  fit <- small_captioner()
  data <- drawn(3L)
  told <- predict(fit, data)
  file <- withr::local_tempfile(fileext = ".safetensors")
  save_model(fit, file)
  again <- load_model(file)
  expect_s3_class(again, "diglot_captioner")
  expect_identical(again$words, fit$words)
  expect_identical(fingerprint(again), fingerprint(fit))
  expect_identical(predict(again, data), told)
  expect_output(print(again), "unknown")
  said <- python_says(c(
    "import diglot",
    sprintf("model = diglot.load(r'%s')", file),
    "for text in model.predict(diglot.shapes(3, 1, size=32)[['image']]):",
    "    print(text)"
  ))
  expect_identical(said, told$.pred_caption)

  skip_if_not_installed("callr")
  rds <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit, rds)
  there <- callr::r(
    function(rds, data) {
      library(diglot)
      fit <- readRDS(rds)
      list(
        told = predict(fit, data),
        print = fingerprint(
          image_captioner(
            captions ~ image, shapes(48, seed = 1, size = 32),
            hidden = 32, embedding = 16, epochs = 1, batch_size = 16, seed = 1, validation = 0.2
          )
        )
      )
    },
    list(rds = rds, data = data),
    libpath = c(dirname(system.file(package = "diglot")), .libPaths())
  )
  expect_identical(there$told, told)
  expect_identical(there$print, fingerprint(fit))
})

test_that("seeds, callbacks, validation data and resuming are as for classifiers", {
  skip_if_no_diglot()
  data <- drawn(24L)
  fit <- function(..., epochs = 1) {
    image_captioner(
      captions ~ image, data, ...,
      hidden = 16, embedding = 8, epochs = epochs, batch_size = 8
    )
  }
  set.seed(42)
  one <- fit()
  after <- .Random.seed
  set.seed(42)
  expect_equal(one$seed, sample.int(.Machine$integer.max, 1L))
  expect_identical(.Random.seed, after)

  held <- drawn(8L, seed = 5)
  seen <- NULL
  judged <- fit(
    validation = held, seed = 1, epochs = 3, monitor = "val_loss",
    callbacks = function(row) {
      seen <<- c(seen, row$val_loss)
      row$epoch < 2
    }
  )
  expect_equal(tidy(judged)$val_loss, seen)
  expect_length(seen, 2L)

  folder <- withr::local_tempdir()
  whole <- fit(seed = 3, epochs = 3)
  expect_error(
    fit(seed = 3, epochs = 3, checkpoint = folder, callbacks = function(row) {
      if (row$epoch == 2) stop("power cut")
    }),
    class = "diglot_error_callback"
  )
  expect_identical(fingerprint(fit(seed = 3, epochs = 3, resume = folder)), fingerprint(whole))
})

test_that("an interrupt keeps what was learned, with a warning", {
  skip_if_no_diglot()
  skip_on_os("windows")
  skip_if_not_installed("callr")
  mark <- withr::local_tempfile()
  process <- callr::r_bg(
    function(mark) {
      library(diglot)
      data <- shapes(100, seed = 1, size = 32)
      warned <- NULL
      fit <- withCallingHandlers(
        image_captioner(
          captions ~ image, data,
          hidden = 16, epochs = 2000, seed = 1,
          callbacks = function(row) {
            if (row$epoch == 2) file.create(mark)
          }
        ),
        warning = function(w) {
          warned <<- class(w)
          invokeRestart("muffleWarning")
        }
      )
      list(warned = warned, epochs = nrow(tidy(fit)), told = nrow(predict(fit, data[1:3, ])))
    },
    list(mark = mark),
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
  expect_identical(seen$told, 3L)
})

test_that("a captioner's plots are drawn, and give the fit back", {
  withr::local_pdf(NULL)
  fit <- fake_captioner()
  expect_identical(plot(fit), fit)
  curves <- diglot:::history_curves(fit$history)
  expect_false(anyNA(curves$value))
  expect_identical(levels(curves$measure), c("loss", "cider_d", "reward"))
  skip_if_not_installed("ggplot2")
  expect_s3_class(ggplot2::autoplot(fit), "ggplot")
  fit <- small_captioner()
  data <- drawn(10L)
  expect_identical(plot(fit, data), fit)
  expect_identical(plot(fit, data, n = 2, beams = 1, columns = 1), fit)
  expect_identical(plot(fit, data[2L, ], attention = TRUE, max_length = 4), fit)
  pixels <- aperm(array(unlist(data$image), c(32L, 32L, 3L, 10L)), c(4L, 1:3))
  expect_identical(plot(fit, pixels, n = 1), fit)
  expect_error(
    plot(fit, data, attention = TRUE), "one image.*10",
    class = "diglot_error_input"
  )
  expect_error(plot(fit, data[0L, ]), "nothing", class = "diglot_error_input")
  expect_error(plot(fit, data, n = 0), "nothing", class = "diglot_error_input")
})

test_that("pictures come as they are, or as the model sees them", {
  fit <- image_captioner(
    captions ~ image, drawn(16L),
    size = c(24, 16), hidden = 16, epochs = 1, seed = 1
  )
  pictures <- function(seen, images) {
    diglot:::call_bridge(
      "pictures", diglot:::live_model(fit), diglot:::image_payload(images), seen
    )
  }
  image <- drawn(1L)$image
  expect_equal(pictures(FALSE, image)[[1L]], image[[1L]] / 255)
  expect_identical(dim(pictures(TRUE, image)[[1L]]), c(24L, 16L, 3L))
  wide <- list(array(rep(c(1L, 200L, 30L), each = 500L * 1000L), c(500L, 1000L, 3L)))
  expect_identical(dim(pictures(FALSE, wide)[[1L]]), c(160L, 320L, 3L))
})

test_that("panels and texts do not overlap", {
  grDevices::pdf(NULL, width = 7, height = 7)
  withr::defer(grDevices::dev.off())
  long <- paste(rep("extraordinary", 14L), collapse = " ")
  graphics::par(mfrow = c(3L, 3L), mar = rep(0.2, 4L), cex = 1)
  graphics::plot.new()
  panel <- graphics::par("pin")
  fitted <- diglot:::fit_texts(c("a cat", long), panel)
  expect_identical(paste(fitted$lines[[2L]], collapse = " "), long)
  expect_true(all(
    graphics::strwidth(fitted$lines[[2L]], "inches", cex = fitted$cex) <= panel[1L]
  ))
  expect_lt(fitted$height, panel[2L] / 2)
  expect_gte(fitted$line, graphics::strheight("Mg", "inches", cex = fitted$cex))
  expect_gte(fitted$height, length(fitted$lines[[2L]]) * fitted$line)
  expect_identical(diglot:::broken_lines("", 1, 1), character())
  # the veil is thinnest where the model looked
  looked <- matrix(c(0.7, 0.1, 0.2, 0), 2L)
  alpha <- grDevices::col2rgb(diglot:::veil(looked, array(1, c(2L, 2L, 3L))), alpha = TRUE)[4L, ]
  expect_identical(order(alpha), c(1L, 3L, 2L, 4L))
  expect_identical(alpha[[1L]], 0L)
})

test_that("bad settings and formulas are refused before Python is asked", {
  data <- tibble::tibble(image = list(matrix(1L, 4L, 4L)), caption = "a cat")
  refused <- function(..., pattern) {
    expect_error(image_captioner(...), pattern, class = "diglot_error_input")
  }
  refused(caption ~ image, data, hiden = 3, pattern = "hidden")
  refused(caption ~ image, data, epochs = NA, pattern = "`epochs`")
  refused(caption ~ image, data, class_weight = "balanced", pattern = "class_weight")
  refused(caption ~ image, data, weights = 1, pattern = "weights")
  refused(caption ~ imagge, data, pattern = "\"image\"")
  refused(text ~ image, data, pattern = "no column \"text\"")
  refused(~image, data, pattern = "two sides")
  refused(data["image"], pattern = "`captions` is missing")
  refused(caption ~ image, data, validation = "some", pattern = "`validation`")
  refused(data["image"], c("a", "b"), pattern = "1 images but 2 entries of captions")
})

test_that("bad captions are refused, naming the row", {
  data <- tibble::tibble(
    image = rep(list(matrix(1L, 4L, 4L)), 4L), caption = list("a cat", c("a", "b"), "c", "d e")
  )
  refused <- function(bad, pattern) {
    data$caption[[3L]] <- bad
    error <- expect_error(
      image_captioner(caption ~ image, data, seed = 1, epochs = 1), pattern,
      class = "diglot_error_input"
    )
    error
  }
  expect_identical(refused(NA_character_, "row 3")$rows, 3L)
  refused(c("a cat", NA), "row 3")
  refused(character(), "no caption.*row 3")
  refused(3, "row 3")
  refused(list("a"), "row 3")
  expect_error(
    image_captioner(data$image, c("a cat", NA, "b", NA)), "rows 2 and 4",
    class = "diglot_error_input"
  )
  expect_error(image_captioner(data$image, 1:4), "texts", class = "diglot_error_input")
  skip_if_no_diglot()
  refused("", "row 3")
  refused(" ?! ", "row 3")
  expect_error(
    image_captioner(caption ~ image, data, min_count = 9, seed = 1), "min_count",
    class = "diglot_error_input"
  )
})

test_that("bad questions are refused, naming the culprit", {
  fit <- fake_captioner()
  data <- tibble::tibble(image = list(matrix(1L, 4L, 4L)))
  refused <- function(code, pattern) {
    expect_error(code, pattern, class = "diglot_error_input")
  }
  refused(predict(fit), "newdata")
  refused(predict(fit, data, beams = 0), "`beams`.*from 1")
  refused(predict(fit, data, beams = NA), "`beams`")
  refused(predict(fit, data, beams = "many"), "`beams`")
  refused(predict(fit, data, samples = -1), "`samples`")
  refused(predict(fit, data, type = "prob"), "\"caption\", \"all\"")
  refused(predict(fit, data.frame(picture = 1)), "\"image\"")
  refused(evaluate(fit), "newdata")
  refused(evaluate(fit, data), "\"caption\"")
  refused(evaluate(fit, data$image), "references")
  refused(evaluate(fit, data, c("a", "b")), "1 images but 2")
  refused(evaluate(fit, data, NA_character_), "row 1")
  refused(evaluate(fit, data, list(character())), "row 1")
  refused(evaluate(fit, data[0L, ], character()), "no rows")
  refused(evaluate(fit, data, "a", meteor = "yes"), "`meteor`")
  refused(evaluate(fit, data, "a", beams = 0), "`beams`")
  refused(report(fit, data), "image_classifier")
  skip_if_no_diglot()
  fit <- small_captioner()
  data <- drawn(2L)
  refused(predict(fit, data, beams = 1.5), "beams")
  refused(predict(fit, data, temperature = 0), "temperature")
  refused(predict(fit, data, top_p = 2), "top_p")
  refused(evaluate(fit, data, c("a cat", " ")), "row 2")
})

test_that("an encoder may be the network of numbers, too", {
  skip_if_no_diglot()
  data <- drawn(24L)
  data$ink <- vapply(data$image, mean, 0)
  numbers <- image_regressor(
    ink ~ image, data,
    network = "convnet", epochs = 1, seed = 1
  )
  fit <- train_captions(captions ~ image, data = data, encoder = numbers)
  expect_identical(fit$network$name, "convnet")
})
