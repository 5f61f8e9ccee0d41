# The comparison of frameworks.

#' Compare deep-learning frameworks on the same task
#'
#' Trains the same network in several frameworks, and measures each: images a second, time to the
#' first step, memory, accuracy, time to import, size on disk, lines of the program.
#'
#' Each framework runs in a process and an environment of its own, by a short script in the idiom of
#' its users, from the same weights on the same batches in the same order. What it computes is held
#' against a reference in double precision: a framework whose losses differ over the first 100 steps
#' by more than 1e-3 of the reference's is told of and not ranked. One that cannot be installed, or
#' fails, has a row that says why.
#'
#' All train by stochastic gradient descent with momentum 0.9 and a constant rate, which they define
#' alike, in single precision, with as many threads as there are physical cores. On a GPU the
#' shorter numbers of newer ones (TF32) are switched off, and a framework that computes on the
#' processor after all fails.
#'
#' @param frameworks Names: `"mxnet"`, `"tensorflow"`, `"torch"`, `"jax"`, `"pytensor"` (these five
#'   by default), `"keras-tensorflow"`, `"keras-jax"`, `"keras-torch"`; and of 2016 `"theano-0.8"`
#'   (with Lasagne), `"tensorflow-0.12"`, `"mxnet-0.9"` and `"keras-2-theano"`.
#' @param task `"lenet-mnist"`, LeNet on handwritten digits; `"cnn-64"`, four convolutions on
#'   drawings of 64 x 64 pixels; `"lstm"`, a recurrent network that reads digits row by row.
#' @param epochs How many; at least 2, as the first one warms up.
#' @param rounds How many times each framework runs. Frameworks take turns, in reversed order in
#'   every second round, so that a slow minute of the machine hits all.
#' @param era `"today"`, `"2016"` or `"both"`: which frameworks to take. Those of 2016 need
#'   Python 3.6 and 3.7, on the path or in pyenv.
#' @param device `"cpu"` or `"gpu"`.
#' @param data A folder with MNIST's four IDX files. Without it scikit-learn's digits stand in,
#'   which the attribute `task` of the result says.
#' @param python Pythons that have a framework already, by its name:
#'   `c(torch = "/opt/torch/bin/python")`.
#' @param install Make environments that are not there yet? With pip, in the folder that the
#'   variable `DIGLOT_CACHE` names, else in the user's cache. The five take about 4 GB where pip
#'   finds PyTorch's build for the CPU (name PyTorch's index of these in pip's own variable
#'   `PIP_EXTRA_INDEX_URL`); the usual one for Linux brings several GB of CUDA along.
#' @param seed Of the first weights, the drawings and the order of the batches; `NULL` draws one
#'   with R's generator.
#' @param verbose Progress: `"auto"`, `TRUE` or `FALSE`.
#' @return A tibble of class `diglot_frameworks` with one row a framework: `framework`, `label`,
#'   `era`, `version`, `python`; `rank` by speed among those that agree; `agrees`, whether its
#'   losses are those of the reference, and `difference`, the largest relative one;
#'   `images_per_second` in training, the median over epochs without the warm-up, with the slowest
#'   and the fastest epoch (`_lower`, `_upper`); `first_step_seconds`, which holds what is compiled;
#'   `import_seconds`; `memory_mib`, and of the GPU `device_memory_mib`, at their peaks; `accuracy`
#'   on `n` test images, with Wilson's 95% interval; `installed_mib` of its packages, `NaN` where
#'   they are not known; `lines` of its program; `settings`, variables that were set; `problem`,
#'   why it was not measured, or `""`. What lacks some of these columns is a plain tibble.
#'
#'   Its attributes are the tibbles `epoch_times` and `losses`, the list `machine` (`processor`,
#'   `cores`, `memory_mib`, `system`, `gpu`), and `task`, `device`, `epochs`, `rounds`, `seed`,
#'   `threads`, `wall_seconds` (of all of it, environments that were made included) and `date`.
#' @seealso [check_capabilities()], [write_frameworks()], and the vignette "Comparing frameworks".
#' @export
#' @examples
#' \dontrun{
#' compare_frameworks(c("mxnet", "torch", "jax"))
#' }
#' @examplesIf diglot_available()
#' # a longer run, which comes with the package
#' file <- system.file("extdata/frameworks/lenet-then-and-now.csv", package = "diglot")
#' results <- read_frameworks(file)
#' results
#' summary(results)
#' plot(results)
compare_frameworks <- function(frameworks = NULL, task = "lenet-mnist", epochs = 3, rounds = 2,
                               era = NULL, device = "cpu", data = NULL, python = NULL,
                               install = TRUE, seed = 1, verbose = "auto") {
  env <- rlang::current_env()
  seed <- seed %||% draw_seed()
  for (name in c("epochs", "rounds", "seed")) {
    check_number(get(name), name, env)
  }
  check_verbose(verbose, env)
  check_flag(install, "install", env)
  options <- list(
    epochs = whole(epochs), rounds = whole(rounds), era = era, device = device,
    data = if (!is.null(data)) path.expand(data), python = named_pythons(python, env),
    install = install, seed = whole(seed), cache = cache_now()
  )
  answer <- call_bridge(
    "compare_frameworks", framework_names(frameworks, env), task, options,
    progress_function(verbose),
    call = env
  )
  frameworks_from(answer)
}

framework_names <- function(names, call, what = "frameworks", example = "mxnet") {
  if (is.null(names)) {
    return(NULL)
  }
  if (!is.character(names) || length(names) == 0L || anyNA(names)) {
    abort_diglot(
      sprintf("`%s` must be names, such as %s.", what, quoted(example)),
      call = call
    )
  }
  as.list(names)
}

# Python knows the variables as they were when it began.
cache_now <- function() Sys.getenv("DIGLOT_CACHE")

named_pythons <- function(python, call) {
  if (is.null(python)) {
    return(NULL)
  }
  python <- as.list(python)
  if (!rlang::is_named(python) || !all(vapply(python, rlang::is_string, NA))) {
    abort_diglot(
      "`python` must name programs by framework: c(torch = \"/opt/torch/bin/python\").",
      call = call
    )
  }
  lapply(python, path.expand)
}

# ---- the result

frameworks_columns <- c(
  "framework", "label", "era", "version", "python", "rank", "agrees", "difference",
  "images_per_second", "images_per_second_lower", "images_per_second_upper", "first_step_seconds",
  "import_seconds", "memory_mib", "device_memory_mib", "accuracy", "accuracy_lower",
  "accuracy_upper", "n", "installed_mib", "lines", "settings", "problem"
)
frameworks_about <- c(
  "task", "device", "epochs", "rounds", "seed", "threads", "wall_seconds", "date"
)

frameworks_from <- function(answer) {
  table <- table_from(answer$table)
  # missing counts cross as missing numbers
  counts <- c("rank", "n", "lines")
  table[counts] <- lapply(table[counts], as.integer)
  table$agrees <- as.logical(table$agrees)
  about <- answer[frameworks_about]
  rlang::exec(
    tibble::new_tibble, table,
    nrow = nrow(table), class = "diglot_frameworks",
    epoch_times = table_from(answer$epoch_times), losses = table_from(answer$losses),
    machine = answer$machine, !!!about
  )
}

#' @export
`[.diglot_frameworks` <- function(x, ...) {
  class_if_whole(
    NextMethod(), "diglot_frameworks", frameworks_columns,
    c("epoch_times", "losses", "machine", frameworks_about)
  )
}

# What is printed and drawn needs all columns of a result: without some it is a plain tibble.
class_if_whole <- function(x, class, columns, about) {
  if (inherits(x, class) && !all(columns %in% names(x))) {
    attributes(x)[about] <- NULL
    class(x) <- setdiff(class(x), class)
  }
  x
}

# What a result becomes on its way to Python: its columns, and what it is of.
frameworks_payload <- function(x) {
  about <- attributes(x)[frameworks_about]
  c(
    list(
      table = columns_payload(x), epoch_times = columns_payload(attr(x, "epoch_times")),
      losses = columns_payload(attr(x, "losses")), machine = attr(x, "machine")
    ),
    about
  )
}

# Numbers as doubles, as R's missing whole numbers and logicals would become others.
columns_payload <- function(table) {
  lapply(unclass(table)[names(table)], function(column) {
    if (is.character(column)) as.list(column) else array(as.double(column))
  })
}

#' @rdname compare_frameworks
#' @param object,x A result.
#' @param ... Not used; for `plot()`, passed on to `autoplot()`.
#' @return `summary()`: a tibble that compares the frameworks measure by measure: `measure`,
#'   `framework`, `value`, `ratio` to the best, and `rank`. Frameworks that compute something else
#'   are left out.
#' @export
summary.diglot_frameworks <- function(object, ...) {
  rlang::check_dots_empty()
  table_from(call_bridge("summarise_frameworks", frameworks_payload(object)))
}

#' @export
print.diglot_frameworks <- function(x, ...) {
  writeLines(c(frameworks_heading(x), ""))
  measured <- plain_rows(x, x$problem == "")
  if (nrow(measured) > 0L) {
    measured <- measured[order(measured$rank, -measured$images_per_second), ]
    print(frameworks_as_text(measured), row.names = FALSE, right = TRUE)
  }
  remarks <- frameworks_remarks(x)
  writeLines(if (length(remarks) > 0L) c("", remarks) else character())
  invisible(x)
}

frameworks_heading <- function(x) {
  about <- attributes(x)
  several <- function(n, what) sprintf("%d %s%s", as.integer(n), what, if (n == 1L) "" else "s")
  gpu <- if (identical(about$device, "gpu")) about$machine$gpu
  sprintf(
    "%s, %s in %s, %s: %s, %s",
    about$task, several(about$epochs, "epoch"), several(about$rounds, "round"),
    several(about$threads, "thread"),
    paste(c(
      about$machine$processor, several(about$machine$cores, "core"), gpu, about$machine$system
    ), collapse = ", "),
    about$date
  )
}

frameworks_as_text <- function(rows) {
  number <- function(name, digits = 0L) {
    formatC(rows[[name]], digits = digits, format = "f", big.mark = ",")
  }
  ends <- function(name, digits = 0L) {
    paste0(number(paste0(name, "_lower"), digits), "-", number(paste0(name, "_upper"), digits))
  }
  table <- data.frame(
    framework = rows$label,
    version = rows$version,
    "images/s" = number("images_per_second"),
    "slowest-fastest" = ends("images_per_second"),
    "first step s" = number("first_step_seconds", 2L),
    "import s" = number("import_seconds", 2L),
    "memory MiB" = number("memory_mib"),
    "GPU MiB" = number("device_memory_mib"),
    accuracy = number("accuracy", 3L),
    "95% interval" = ends("accuracy", 3L),
    "installed MiB" = ifelse(is.na(rows$installed_mib), "", number("installed_mib")),
    lines = rows$lines,
    "same losses" = ifelse(rows$agrees %in% TRUE, "yes", "NO"),
    check.names = FALSE
  )
  if (!any(rows$device_memory_mib > 0)) {
    table[["GPU MiB"]] <- NULL
  }
  table
}

frameworks_remarks <- function(x) {
  rows <- plain_rows(x, TRUE)
  differs <- rows[rows$problem == "" & !rows$agrees %in% TRUE, ]
  skipped <- rows[rows$problem != "", ]
  c(
    sprintf(
      paste(
        "%s computes something else (its losses differ by up to %.1e of the reference's):",
        "it is not ranked."
      ),
      differs$label, differs$difference
    ),
    sprintf("%s was not measured: %s", skipped$framework, skipped$problem)
  )
}

# ---- plots

#' @rdname compare_frameworks
#' @param type `"measures"`: bars of speed, with the slowest and the fastest epoch, of the time to
#'   the first step and of peak memory, a GPU's beside it. `"accuracy"`: accuracy with its interval
#'   against the time of training. Frameworks that compute something else are grey.
#' @return `autoplot()`: a ggplot. `plot()`: `x`, invisibly.
#' @export
plot.diglot_frameworks <- function(x, ...) plot_table(x, ...)

#' @rdname compare_frameworks
#' @exportS3Method ggplot2::autoplot
autoplot.diglot_frameworks <- function(object, type = c("measures", "accuracy"), ...) {
  rlang::check_dots_empty()
  env <- rlang::current_env()
  type <- check_choice(type, c("measures", "accuracy"), "type", env)
  check_plot_table(object, c("label", "agrees", "problem", "images_per_second"), env)
  rows <- plain_rows(object, object$problem == "")
  if (nrow(rows) == 0L) {
    abort_diglot("No framework was measured: there is nothing to draw.", call = env)
  }
  rows <- rows[order(-rows$images_per_second), ]
  rows$label <- in_order(rows$label)
  rows$fill <- ifelse(rows$agrees %in% TRUE, blue, "grey70")
  if (type == "measures") {
    measures_plot(rows)
  } else {
    accuracy_plot(rows, attr(object, "epoch_times"))
  }
}

measures_plot <- function(rows) {
  panels <- c(
    images_per_second = "images/s in training", first_step_seconds = "first step, seconds",
    memory_mib = "peak memory, MiB", device_memory_mib = "of the GPU, MiB"
  )
  if (!any(rows$device_memory_mib > 0)) {
    panels <- panels[names(panels) != "device_memory_mib"]
  }
  long <- do.call(rbind, lapply(names(panels), function(name) {
    tibble::tibble(
      label = rows$label, fill = rows$fill, panel = panels[[name]], value = rows[[name]],
      lower = rows[[paste0(name, "_lower")]] %||% NA_real_,
      upper = rows[[paste0(name, "_upper")]] %||% NA_real_
    )
  }))
  long$panel <- in_order(long$panel)
  ggplot2::ggplot(long, ggplot2::aes(y = .data$label)) +
    ggplot2::geom_col(
      ggplot2::aes(x = .data$value, fill = .data$fill),
      width = 0.65, orientation = "y"
    ) +
    ggplot2::geom_linerange(
      ggplot2::aes(xmin = .data$lower, xmax = .data$upper),
      linewidth = 0.5, na.rm = TRUE
    ) +
    ggplot2::scale_fill_identity() +
    ggplot2::facet_wrap(~panel, nrow = 1L, scales = "free_x") +
    few_breaks() +
    names_down() +
    ggplot2::labs(x = NULL, y = NULL) +
    diglot_theme() +
    ggplot2::theme(panel.grid.major.y = ggplot2::element_blank())
}

# The time of training is the sum of a round's epochs, the median of rounds.
accuracy_plot <- function(rows, times) {
  sums <- stats::aggregate(times["seconds"], times[c("framework", "round")], sum)
  seconds <- tapply(sums$seconds, sums$framework, stats::median)
  rows$seconds <- as.vector(seconds[rows$framework])
  ggplot2::ggplot(rows, ggplot2::aes(.data$seconds, .data$accuracy, colour = .data$fill)) +
    ggplot2::geom_linerange(
      ggplot2::aes(ymin = .data$accuracy_lower, ymax = .data$accuracy_upper),
      linewidth = 0.5
    ) +
    ggplot2::geom_point(size = 1.8) +
    # slanted, from the intervals' upper ends: equal accuracies stand side by side
    ggplot2::geom_text(
      ggplot2::aes(
        x = apart(.data$seconds, 0.03), y = .data$accuracy_upper, label = shorten(.data$label)
      ),
      angle = 40, hjust = -0.08, vjust = 0, size = 3, colour = "grey20"
    ) +
    ggplot2::scale_colour_identity() +
    ggplot2::scale_x_continuous(
      limits = c(0, NA), labels = plain_numbers, expand = ggplot2::expansion(mult = c(0.02, 0.25))
    ) +
    ggplot2::scale_y_continuous(
      labels = plain_numbers, expand = ggplot2::expansion(mult = c(0.05, 0.6))
    ) +
    ggplot2::labs(x = "seconds of training", y = "accuracy") +
    diglot_theme()
}

# Moves places on, in their order, until they are a share of the largest apart.
apart <- function(places, share) {
  order <- order(places)
  for (i in seq_along(order)[-1L]) {
    before <- places[order[i - 1L]]
    places[order[i]] <- max(places[order[i]], before + share * max(places))
  }
  places
}

# ---- files

#' Write and read a comparison of frameworks
#'
#' As CSV, the same in R and in Python (`FrameworkComparison.to_csv()` and `.read_csv()`).
#'
#' @param x A result of [compare_frameworks()].
#' @param file Where the table goes; machine, date and settings are columns that are the same in
#'   each row. The epochs and the losses go beside it, into `<name>-epochs.csv` and
#'   `<name>-losses.csv`.
#' @return `write_frameworks()`: the paths of the three files, invisibly. `read_frameworks()`: a
#'   tibble as from [compare_frameworks()].
#' @export
#' @examplesIf diglot_available()
#' file <- system.file("extdata/frameworks/lstm-today.csv", package = "diglot")
#' results <- read_frameworks(file)
#' copy <- write_frameworks(results, tempfile(fileext = ".csv"))
#' basename(copy)
write_frameworks <- function(x, file) {
  env <- rlang::current_env()
  if (!inherits(x, "diglot_frameworks")) {
    abort_diglot("`x` must be a result of compare_frameworks().", call = env)
  }
  check_file_name(file, env)
  written <- call_bridge("write_frameworks", frameworks_payload(x), path.expand(file), call = env)
  invisible(text_from(written))
}

#' @rdname write_frameworks
#' @export
read_frameworks <- function(file) {
  env <- rlang::current_env()
  check_file_name(file, env)
  frameworks_from(call_bridge("read_frameworks", path.expand(file), call = env))
}

check_file_name <- function(file, call) {
  if (!rlang::is_string(file) || !nzchar(file)) {
    abort_diglot("`file` must be one path.", call = call)
  }
}

# ---- capabilities

#' Try what frameworks can do
#'
#' Runs a small script for each framework and capability, in the idiom of that framework's users and
#' in a process and an environment of its own. All solve the same problems, and each answer is held
#' against one by numpy in double precision: "works" means that it was right.
#'
#' @inheritParams compare_frameworks
#' @param frameworks Those of [compare_frameworks()], and `"diglot"`, which is MXNet through
#'   diglot's own functions; by default today's five and `"diglot"`.
#' @param capabilities `"autodiff"`, `"convolution"`, `"recurrence"` (an LSTM), `"rbm"` (a
#'   restricted Boltzmann machine by contrastive divergence), `"custom_operator"` (a new one in
#'   Python, with its gradient), `"loop"` and `"condition"` (inside a graph), `"onnx_file"` and
#'   `"caffe_file"` (files in these formats), `"devices"` (training on two, which here are parts of
#'   the processor), `"r"` (use from R). By default all.
#' @return A tibble of class `diglot_capabilities` with one row a framework and capability:
#'   `framework`, `label`, `era`, `version`, `capability`; `status`, one of `"works"`, `"fails"`,
#'   `"not offered"`, `"not tried"`; `lines` of the script; `detail`: the error of what fails, the
#'   source of what is not offered, why something was not tried. It prints as a table with a column
#'   a framework, which `summary()` returns. Its attributes are `machine`, `date` and
#'   `capabilities`, what tables call them. What lacks some of these columns is a plain tibble.
#' @seealso [compare_frameworks()] for speed and memory.
#' @export
#' @examplesIf diglot_available()
#' found <- check_capabilities("diglot", c("custom_operator", "onnx_file"), verbose = FALSE)
#' found
#' # what all frameworks can do, as it comes with the package
#' file <- system.file("extdata/frameworks/capabilities-today.csv", package = "diglot")
#' read_capabilities(file)
check_capabilities <- function(frameworks = NULL, capabilities = NULL, era = NULL, python = NULL,
                               install = TRUE, verbose = "auto") {
  env <- rlang::current_env()
  check_verbose(verbose, env)
  check_flag(install, "install", env)
  options <- list(
    era = era, python = named_pythons(python, env), install = install, cache = cache_now()
  )
  answer <- call_bridge(
    "check_capabilities", framework_names(frameworks, env),
    framework_names(capabilities, env, "capabilities", "rbm"), options,
    progress_function(verbose),
    call = env
  )
  capabilities_from(answer)
}

capabilities_columns <- c(
  "framework", "label", "era", "version", "capability", "status", "lines", "detail"
)

capabilities_from <- function(answer) {
  table <- table_from(answer$table)
  table$lines <- as.integer(table$lines)
  tibble::new_tibble(
    table,
    nrow = nrow(table), class = "diglot_capabilities",
    capabilities = rlang::set_names(text_from(answer$told), text_from(answer$capabilities)),
    machine = answer$machine, date = answer$date
  )
}

#' @export
`[.diglot_capabilities` <- function(x, ...) {
  class_if_whole(
    NextMethod(), "diglot_capabilities", capabilities_columns,
    c("capabilities", "machine", "date")
  )
}

# One row a capability, one column a framework.
wide_capabilities <- function(x) {
  told <- attr(x, "capabilities")
  rows <- intersect(names(told), x$capability)
  cells <- ifelse(x$status == "works", sprintf("works (%d)", x$lines), x$status)
  columns <- lapply(rlang::set_names(unique(x$label)), function(label) {
    mine <- x$label == label
    found <- cells[mine][match(rows, x$capability[mine])]
    ifelse(is.na(found), "", found)
  })
  tibble::as_tibble(c(list(capability = unname(told[rows])), columns))
}

#' @rdname check_capabilities
#' @param object A result.
#' @param ... Not used.
#' @export
summary.diglot_capabilities <- function(object, ...) {
  rlang::check_dots_empty()
  wide_capabilities(object)
}

#' @export
print.diglot_capabilities <- function(x, ...) {
  versions <- x[!duplicated(x$framework), ]
  machine <- attr(x, "machine")
  writeLines(c(
    sprintf(
      "%s: %s, %s, %s", paste(trimws(paste(versions$label, versions$version)), collapse = ", "),
      machine$processor, machine$system, attr(x, "date")
    ),
    ""
  ))
  print(as.data.frame(wide_capabilities(x)), row.names = FALSE, right = FALSE)
  told <- plain_rows(x, x$detail != "")
  if (nrow(told) > 0L) {
    names <- attr(x, "capabilities")[told$capability]
    remarks <- sprintf("%s, %s: %s: %s", told$label, names, told$status, told$detail)
    writeLines(c("", remarks))
  }
  invisible(x)
}

#' @rdname check_capabilities
#' @param x A result.
#' @param file A CSV file, the same in Python (`FrameworkCapabilities.to_csv()`, `.read_csv()`).
#' @return `write_capabilities()`: the path, invisibly. `read_capabilities()`: a tibble as from
#'   `check_capabilities()`.
#' @export
write_capabilities <- function(x, file) {
  env <- rlang::current_env()
  if (!inherits(x, "diglot_capabilities")) {
    abort_diglot("`x` must be a result of check_capabilities().", call = env)
  }
  check_file_name(file, env)
  given <- list(table = columns_payload(x), machine = attr(x, "machine"), date = attr(x, "date"))
  invisible(text_from(call_bridge("write_capabilities", given, path.expand(file), call = env)))
}

#' @rdname check_capabilities
#' @export
read_capabilities <- function(file) {
  env <- rlang::current_env()
  check_file_name(file, env)
  capabilities_from(call_bridge("read_capabilities", path.expand(file), call = env))
}
