"""Every setting of a run: the one table that all else about settings is made from.

Defaults, checks, ``cnnjax config`` and the table in ``docs/configuration.md`` come from
it. ``python -m cnnjax.config.page docs/configuration.md`` writes the latter anew.
"""

from cnnjax.config.rules import (
    ABOVE_ONE,
    AREA,
    AUGMENTATIONS,
    BELOW_ONE,
    BLOCKS,
    COUNT,
    DURATION,
    DURATIONS,
    FOLDER,
    FRACTION,
    IMAGE_SIZE,
    METRICS,
    MULTIPLIER,
    NOT_NEGATIVE,
    NUMBERS,
    ORIGIN,
    PART,
    PATTERN,
    POSITIVE,
    REPORTERS,
    SEED,
    SHARE,
    SIZE,
    SIZES,
    STAGES,
    SWITCH,
    TIME,
    VARIANTS,
    WEIGHTS,
    Rule,
    name_or_path,
    one_of,
)
from cnnjax.config.setting import OPTION, Setting

# fmt: off
SETTINGS = (
    Setting("seed", int, 0, SEED, "",
            "Decides initial weights, held-out splits, the order of examples, dropout"
            " and augmentation."),

    Setting("data.source", str, "digits",
            Rule("a kind of source, KIND:ARGUMENT, or 'module:function'"), "",
            "Where the examples come from."),
    Setting("data.streaming", bool, False, SWITCH, "",
            "Leave images on disk and read them batch by batch, for data sets that do"
            " not fit in memory."),
    Setting("data.on_device", str, "auto", one_of("auto", "always", "never"), "",
            "Keep the training images on each device; 'auto' does on a GPU or TPU if"
            " they take at most a tenth of its memory. The results are the same."),
    Setting("data.image_size", tuple, (), IMAGE_SIZE, "pixels",
            "Height and width that image files are resized to, such as (64, 48); (64,)"
            " is a square. () expects files of one size."),
    Setting("data.resize", str, "crop", one_of("crop", "squash", "pad"), "",
            "How image files with another aspect ratio are brought to that size: crop"
            " the excess, distort the image, or pad it with black."),
    Setting("data.crop_fraction", float, 1.0, PART, "",
            "With 'crop', the central share of the height and the width that is kept."),
    Setting("data.random_part", tuple, (), AREA, "",
            "Smallest and largest share of each image file's area that a random crop"
            " for training keeps, such as (0.08, 1.0); () keeps the whole image."),
    Setting("data.bad_files", str, "fail", one_of("fail", "skip"), "",
            "Whether a damaged image file ends the run or is left out."),
    Setting("data.workers", int, None, COUNT, "threads",
            "Threads that decode image files; 0 decodes in the thread that loads the"
            " data, and None means one per CPU core. The results do not depend on it."),
    Setting("data.worker_processes", int, 0, COUNT, "processes",
            "Processes that load streamed training batches, for loaders in Python that"
            " threads cannot speed up; 0 loads them in a thread. The results do not"
            " depend on it."),
    Setting("data.cache", str, "none", one_of("none", "memory", "disk"), "",
            "Where decoded image files are kept, so that they are not decoded again."),
    Setting("data.cache_folder", str, None, FOLDER, "",
            "Folder for decoded images, and for the errors of damaged files. None means"
            " cnnjax/images in the user's cache folder."),
    Setting("data.num_classes", int, None, SIZE, "classes",
            "A check: the data must have this many classes. None skips the check."),
    Setting("data.validation_fraction", float, 0.1, FRACTION, "",
            "Share of the training split to hold out, stratified, if the data set has"
            " no validation split."),
    Setting("data.test_fraction", float, 0.2, FRACTION, "",
            "Share of the training split to hold out, stratified, if the data set has"
            " no test split."),
    Setting("data.mean", tuple, (), NUMBERS, "",
            "What is subtracted from each channel of the images; () measures the mean"
            " of the training images, and ('imagenet',) uses ImageNet's."),
    Setting("data.std", tuple, (), NUMBERS, "",
            "What each channel is divided by; () measures the standard deviation."),
    Setting("data.sampling", str, "shuffle", one_of("shuffle", "balanced"), "",
            "Show each training example once per epoch, or all classes equally often,"
            " which repeats the examples of rare classes."),
    Setting("data.crop_padding", int, 0, COUNT, "pixels",
            "Pad training images by this much, and crop them at random to their size."),
    Setting("data.flip", bool, False, SWITCH, "",
            "Mirror each training image with probability 1/2."),
    Setting("data.augment", tuple, (), AUGMENTATIONS, "",
            "Augmentations by name (see docs/augmentation.md), or your own,"
            " applied after crop and flip in this order."),

    Setting("model.name", str, "small_cnn",
            Rule("a name that `cnnjax models` lists, or 'module:attribute'"), "",
            "The network, or an import path of your own, `module:attribute`. Its"
            " fields are further settings, `model.FIELD`."),
    Setting("model.widths", tuple, OPTION, SIZES, "channels",
            "Output channels of each convolution or stage."),
    Setting("model.dense", tuple, OPTION, SIZES, "units",
            "Units of each hidden dense layer."),
    Setting("model.blocks", tuple, OPTION, BLOCKS, "blocks",
            "Blocks of each stage: residual blocks, or convolutions in VGG."),
    Setting("model.multiplier", float, OPTION, MULTIPLIER, "",
            "Factor for the number of channels of every layer."),
    Setting("model.kernel_size", int, OPTION, SIZE, "pixels",
            "Size of the kernel along each axis."),
    Setting("model.dropout", float, OPTION, BELOW_ONE, "",
            "Probability with which a unit is dropped in training."),
    Setting("model.stochastic_depth", float, OPTION, BELOW_ONE, "",
            "Probability with which an example skips the last residual block in"
            " training; it rises linearly from 0 for the first block."),
    Setting("model.remat", None, OPTION, Rule("true or false"), "",
            "Save memory on accelerators: keep only each block's input, and recompute"
            " the rest in the backward pass."),
    Setting("model.kernel_init", None, OPTION,
            Rule("the name of an initializer, such as 'he_normal'"), "",
            "Distribution of the initial kernels."),
    Setting("model.batch_norm", None, OPTION, Rule("true or false"), "",
            "Normalize after each convolution."),
    Setting("model.activation", None, OPTION,
            Rule("the name of an activation, such as 'relu'"), "",
            "Activation after each layer but the last."),
    Setting("model.stem", None, OPTION, Rule("'imagenet' or 'cifar'"), "",
            "How much the first layers shrink an image."),

    Setting("loss.name", str, "softmax",
            name_or_path("softmax", "sigmoid", "mse", "huber"), "",
            "Cross-entropy of a softmax, or of a sigmoid per class (independent"
            " yes-or-no questions); mean squared error or Huber loss; or your own."),
    Setting("loss.label_smoothing", float, 0.0, SHARE, "",
            "Share of the target that is spread evenly over all classes."),
    Setting("loss.focal_gamma", float, 0.0, NOT_NEGATIVE, "",
            "Focusing parameter of the focal loss, with 'softmax' or 'sigmoid'; 2 is"
            " usual, and 0 gives the cross-entropy."),
    Setting("loss.delta", float, 1.0, POSITIVE, "",
            "With 'huber', the error above which the loss is linear."),
    Setting("loss.class_weights", tuple, (), WEIGHTS, "",
            "How many times an example of each class counts in the training loss;"
            " 'balanced' makes all classes count alike."),

    Setting("optimizer.name", str, "sgd",
            Rule("an optimizer of Optax that takes a learning rate, or"
                 " 'module:attribute'"), "",
            "The optimizer. Its arguments are further settings, `optimizer.ARGUMENT`."),
    Setting("optimizer.learning_rate", float, 0.1, POSITIVE, "",
            "Peak of the learning rate schedule."),
    Setting("optimizer.weight_decay", float, 0.0, NOT_NEGATIVE, "",
            "Strength of the weight decay. Biases and normalization are exempt."),
    Setting("optimizer.decay_mode", str, "decoupled", one_of("decoupled", "l2"), "",
            "Decay the weights directly as in AdamW, or add it to the gradient."),
    Setting("optimizer.layer_decay", float, None, PART, "",
            "Layer-wise learning rate decay: the learning rate of each layer or block"
            " is multiplied by this number to the power of the number of blocks that"
            " follow it. None or 1 trains all layers at the same rate."),
    Setting("optimizer.clip_norm", float, None, POSITIVE, "",
            "Maximum global norm of the gradients; larger gradients are scaled down."
            " None never clips."),
    Setting("optimizer.momentum", float, OPTION, BELOW_ONE, "",
            "Decay rate of the running sum of gradients."),
    Setting("optimizer.nesterov", bool, OPTION, SWITCH, "",
            "Use Nesterov's momentum."),
    Setting("optimizer.b1", float, OPTION, BELOW_ONE, "",
            "Decay rate of the first moment."),
    Setting("optimizer.b2", float, OPTION, BELOW_ONE, "",
            "Decay rate of the second moment."),
    Setting("optimizer.b3", float, OPTION, BELOW_ONE, "",
            "Decay rate of the third moving average."),
    Setting("optimizer.decay", float, OPTION, BELOW_ONE, "",
            "Decay rate of the mean of squared gradients in rmsprop."),
    Setting("optimizer.rho", float, OPTION, BELOW_ONE, "",
            "Decay rate of the mean of squared gradients in adadelta."),
    Setting("optimizer.eps", float, OPTION, POSITIVE, "",
            "Added to a denominator so that it is not 0."),

    Setting("schedule.name", str, "cosine",
            Rule("'constant', 'cosine', 'one_cycle' or 'step'"), "",
            "How the learning rate changes after the warmup, or `module:attribute`."),
    Setting("schedule.warmup", str, "0 steps", DURATION, "",
            "Linear rise of the learning rate from 0 to its peak."),
    Setting("schedule.end_fraction", float, 0.0, SHARE, "",
            "cosine: the last learning rate as a share of the peak."),
    Setting("schedule.boundaries", tuple, (), DURATIONS, "",
            "step: when the learning rate falls."),
    Setting("schedule.factor", float, 0.1, POSITIVE, "",
            "step: what the learning rate is multiplied by at each boundary."),

    Setting("parallel", str, "jit", one_of("jit", "pmap"), "",
            "What compiles the training step for several devices."),
    Setting("devices", int, None, SIZE, "devices",
            "Devices that each process uses. None uses all that it has."),
    Setting("steps_per_call", int, 1, SIZE, "steps",
            "Maximum number of steps that one call of the compiled program takes; more"
            " than one is faster for small networks. The results do not depend on it."),
    Setting("accumulate_steps", int, 1, SIZE, "parts",
            "Split each device's batch into this many parts, computed one after the"
            " other to save memory."),
    Setting("sync_batch_norm", bool, False, SWITCH, "",
            "Batch normalization uses the moments over all devices instead of each"
            " device's own."),
    Setting("shard_optimizer", bool, False, SWITCH, "",
            "Divide the optimizer's state among the devices."),

    Setting("gradients", str, "custom", one_of("custom", "autodiff"), "",
            "Whether to use the hand-written gradients or JAX's autodiff."),
    Setting("backend", str, "auto", one_of("auto", "native", "xla"), "",
            "Which kernels run on a CPU: cnnjax's, XLA's, or the faster of the two."),
    Setting("precision", str, "float32",
            one_of("float32", "bfloat16", note="float16 loses small gradients"), "",
            "Dtype of the activations; weights stay float32."),
    Setting("deterministic", bool, False, SWITCH, "",
            "On a GPU, compute the same bits in every run, which may be slower (see"
            " docs/reproducibility.md). It changes nothing on a CPU or a TPU."),
    Setting("duration", str, "10 epochs", DURATION, "",
            "How long to train."),
    Setting("batch_size", int, 128, SIZE, "examples",
            "Examples per training step, over all devices."),
    Setting("eval_batch_size", int, 500, SIZE, "examples",
            "Examples per step of evaluation."),
    Setting("eval_augment", tuple, (), VARIANTS, "",
            "Test-time augmentation, which `cnnjax evaluate` reports as a second score"
            " (see docs/augmentation.md)."),
    Setting("eval_every", str, "1 epoch", DURATION, "",
            "Time between validations."),
    Setting("log_every", str, "50 steps", DURATION, "",
            "Time between lines of training metrics."),
    Setting("report", tuple, ("terminal", "jsonl", "html"), REPORTERS, "",
            "Where a run reports: `terminal`, `jsonl` (`metrics.jsonl`), `html`"
            " (`report.html`, at the end), `layers` (`layers.jsonl`), `tensorboard`,"
            " `wandb`, `mlflow`, and your own subclasses of `cnnjax.Callback`."),
    Setting("report_every", str, "1 epoch", DURATION, "",
            "Time between reports on each layer's gradients, weights and activations,"
            " for `layers`, `tensorboard`, `wandb` and `mlflow`."),

    Setting("checkpoint.every", str, "1 epoch", TIME, "",
            "Time between checkpoints. The last state is always saved."),
    Setting("checkpoint.keep", int, 2, SIZE, "checkpoints",
            "How many of the newest checkpoints to keep, besides the best one."),
    Setting("checkpoint.keep_every", str, None, DURATION, "",
            "Keep the checkpoint at each multiple of this duration for good."),

    Setting("metrics", tuple, (), METRICS, "",
            "Metrics, reported beside loss and accuracy in evaluation: names such as"
            " `top5` or `auc`, and your own functions."),
    Setting("monitor", str, "loss",
            Rule("'loss', 'accuracy', a name in metrics, 'max:NAME' or 'min:NAME'"), "",
            "The validation metric that decides which checkpoint is the best."),
    Setting("average_decay", float, None, FRACTION, "",
            "Keep an exponential moving average of the weights with this decay, and"
            " evaluate it. None keeps none."),
    Setting("early_stopping.patience", int, None, SIZE, "validations",
            "Stop after this many validations without improvement; None never does."),
    Setting("early_stopping.min_improvement", float, 0.0, NOT_NEGATIVE, "",
            "The smallest change that counts as an improvement."),
    Setting("early_stopping.restore_best", bool, True, SWITCH, "",
            "End with the best state instead of the last."),

    Setting("on_nan", str, "stop", one_of("stop", "rollback"), "",
            "What to do when the loss is not finite: end the run, or return to the last"
            " checkpoint with a lower learning rate."),
    Setting("rollback.times", int, 3, SIZE, "rollbacks",
            "How many rollbacks a run may take."),
    Setting("rollback.factor", float, 0.5, FRACTION, "",
            "What each rollback multiplies the learning rate by."),
    Setting("spike_factor", float, None, ABOVE_ONE, "",
            "Skip steps with a loss this many times the usual one. None never skips."),

    Setting("init_from", str, None, ORIGIN, "",
            "A trained run, one of its checkpoints, or a weights file, local or on the"
            " Hugging Face hub, from which to load the initial weights."),
    Setting("init_load", str, ".*", PATTERN, "",
            "Names of the arrays to load from `init_from`."),
    Setting("freeze", str, "", PATTERN, "",
            "Names of the arrays that are not trained. Batch normalization whose"
            " parameters are frozen runs as in evaluation."),
    Setting("unfreeze", tuple, (), STAGES, "",
            "When to unfreeze arrays, such as ('1 epoch: MBConv_15.*', '3 epochs'); a"
            " duration without names unfreezes all."),

    Setting("compilation_cache", str, None, FOLDER, "",
            "Folder of compiled programs. None means $JAX_COMPILATION_CACHE_DIR, or"
            " cnnjax/xla in the user's cache folder."),
)
# fmt: on

BY_NAME = {setting.name: setting for setting in SETTINGS}
"""The settings by their names."""
