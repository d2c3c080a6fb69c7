"""Tables of names of TensorFlow 1 that today's TensorFlow does not have.

A key is a name inside `tensorflow`, such as contrib.layers. A value is the full name of
the module, class or function that takes its place; `tf.` is version 1 of TensorFlow's
interface.
"""

# Other names of modules: the same module by two names. The longest row counts.
OTHER_NAMES = {
    'contrib.slim.python.slim': 'contrib.slim',
    'contrib.slim.python.slim.data': 'contrib.slim',
    'contrib.slim.python.slim.nets': 'contrib.slim.nets',
    'contrib.layers.python.layers': 'contrib.layers',
    'contrib.layers.python.ops': 'contrib.layers',
    'contrib.framework.python.ops': 'contrib.framework',
    'contrib.framework.python.framework': 'contrib.framework',
    'contrib.losses.python.losses': 'contrib.losses',
    'contrib.losses.python.metric_learning': 'contrib.losses.metric_learning',
    'contrib.metrics.python.metrics': 'contrib.metrics',
    'contrib.metrics.python.ops': 'contrib.metrics',
    'contrib.training.python.training': 'contrib.training',
    'contrib.quantize.python': 'contrib.quantize',
    'contrib.data.python.ops': 'contrib.data',
    'contrib.keras': 'keras',
}

# Modules of one's own name that are one module of today.
MODULES = {
    'keras': 'tf_keras.api._v1.keras',
    'contrib.slim.data_decoder': 'tf_slim.data.data_decoder',
    'contrib.slim.data_provider': 'tf_slim.data.data_provider',
    'contrib.slim.dataset': 'tf_slim.data.dataset',
    'contrib.slim.dataset_data_provider': 'tf_slim.data.dataset_data_provider',
    'contrib.slim.parallel_reader': 'tf_slim.data.parallel_reader',
    'contrib.slim.prefetch_queue': 'tf_slim.data.prefetch_queue',
    'contrib.slim.tfexample_decoder': 'tf_slim.data.tfexample_decoder',
    'contrib.slim.evaluation': 'tf_slim.evaluation',
    'contrib.slim.learning': 'tf_slim.learning',
    'contrib.slim.losses': 'tf_slim.losses',
    'contrib.slim.metrics': 'tf_slim.metrics',
    'contrib.slim.model_analyzer': 'tf_slim.model_analyzer',
    'contrib.slim.queues': 'tf_slim.queues',
    'contrib.slim.summaries': 'tf_slim.summaries',
    # The networks of tf.contrib, not those of research/slim: other arguments, and the
    # logits of ResNets are [batch, 1, 1, classes].
    'contrib.slim.nets.alexnet': 'tf_slim.nets.alexnet',
    'contrib.slim.nets.inception': 'tf_slim.nets.inception',
    'contrib.slim.nets.inception_v1': 'tf_slim.nets.inception_v1',
    'contrib.slim.nets.inception_v2': 'tf_slim.nets.inception_v2',
    'contrib.slim.nets.inception_v3': 'tf_slim.nets.inception_v3',
    'contrib.slim.nets.overfeat': 'tf_slim.nets.overfeat',
    'contrib.slim.nets.resnet_utils': 'tf_slim.nets.resnet_utils',
    'contrib.slim.nets.resnet_v1': 'tf_slim.nets.resnet_v1',
    'contrib.slim.nets.resnet_v2': 'tf_slim.nets.resnet_v2',
    'contrib.slim.nets.vgg': 'tf_slim.nets.vgg',
    'contrib.layers.initializers': 'tf_slim.layers.initializers',
    'contrib.layers.layers': 'tf_slim.layers.layers',
    'contrib.layers.normalization': 'tf_slim.layers.normalization',
    'contrib.layers.optimizers': 'tf_slim.layers.optimizers',
    'contrib.layers.regularizers': 'tf_slim.layers.regularizers',
    'contrib.layers.rev_block_lib': 'tf_slim.layers.rev_block_lib',
    'contrib.layers.summaries': 'tf_slim.layers.summaries',
    'contrib.layers.utils': 'tf_slim.layers.utils',
    'contrib.framework.arg_scope': 'tf_slim.ops.arg_scope',
    'contrib.framework.checkpoint_utils': 'tensorflow.python.training.checkpoint_utils',
    'contrib.framework.graph_util': 'tf.graph_util',
    'contrib.framework.nest': 'tensorflow.python.util.nest',
    'contrib.framework.ops': 'tf_slim.ops.framework_ops',
    'contrib.framework.tensor_util': 'tensorflow.python.framework.tensor_util',
    'contrib.framework.variables': 'tf_slim.ops.variables',
    'contrib.losses.loss_ops': 'tf_slim.losses.loss_ops',
    'contrib.losses.metric_learning.metric_loss_ops': 'tf_slim.losses.metric_learning',
    'contrib.metrics.classification': 'tf_slim.metrics.classification',
    'contrib.metrics.metric_ops': 'tf_slim.metrics.metric_ops',
    'contrib.training.evaluation': 'tf_slim.training.evaluation',
    'contrib.training.hparam': 'slim_zoo.contrib.hparam',
    'contrib.training.training': 'tf_slim.training.training',
    'contrib.quantize.quantize_graph': 'slim_zoo.contrib.quantize_graph',
    'contrib.tfprof.model_analyzer': 'slim_zoo.contrib.model_analyzer',
    'contrib.tfprof.tfprof_logger': 'tensorflow.python.profiler.tfprof_logger',
    'contrib.autograph': 'tf.autograph',
    'contrib.distribute': 'tf.distribute',
    'contrib.cluster_resolver': 'tf.distribute.cluster_resolver',
    'contrib.lite': 'tf.lite',
    'contrib.saved_model': 'tf.saved_model',
    'contrib.signal': 'tf.signal',
}

# Modules that are made of the names of others, in the order in which they are searched.
PARTS = {
    'contrib': (),
    'contrib.slim': ('tf_slim',),
    'contrib.slim.nets': (),
    'contrib.layers': ('tf_slim.layers', 'tf_slim.layers.summaries'),
    'contrib.framework': (
        'tf_slim.ops.arg_scope', 'tf_slim.ops.variables', 'tf_slim.ops.framework_ops'),
    'contrib.losses': ('tf_slim.losses',),
    'contrib.losses.metric_learning': ('tf_slim.losses.metric_learning',),
    'contrib.metrics': ('tf_slim.metrics',),
    'contrib.training': (
        'slim_zoo.contrib.hparam', 'tf_slim.training.evaluation',
        'tf_slim.training.training'),
    'contrib.quantize': ('slim_zoo.contrib.quantize_graph',),
    'contrib.tfprof': (),
    'contrib.data': ('tf.data.experimental',),
    'contrib.lookup': ('tensorflow.python.ops.lookup_ops',),
    'contrib.rnn': ('tf.nn.rnn_cell',),
    'contrib.util': (),
    # Packages between, which have modules only.
    'contrib.slim.python': (),
    'contrib.layers.python': (),
    'contrib.framework.python': (),
    'contrib.losses.python': (),
    'contrib.metrics.python': (),
    'contrib.training.python': (),
    'contrib.data.python': (),
}

# Further names of the modules above; they come before those of their parts.
NAMES = {
    'contrib.framework': {
        # The function: the module of this name is below it.
        'arg_scope': 'tf_slim.ops.arg_scope.arg_scope',
        'assert_same_float_dtype': 'tf.debugging.assert_same_float_dtype',
        'assert_scalar': 'tf.debugging.assert_scalar',
        'argsort': 'tf.argsort',
        'convert_to_tensor_or_sparse_tensor': 'tf.convert_to_tensor_or_sparse_tensor',
        'CriticalSection': 'tf.CriticalSection',
        'deprecated': 'tensorflow.python.util.deprecation.deprecated',
        'deprecated_args': 'tensorflow.python.util.deprecation.deprecated_args',
        'init_from_checkpoint': 'tf.train.init_from_checkpoint',
        'is_non_decreasing': 'tf.debugging.is_non_decreasing',
        'is_strictly_increasing': 'tf.debugging.is_strictly_increasing',
        'is_tensor': 'tf.is_tensor',
        'list_variables': 'tf.train.list_variables',
        'load_checkpoint': 'tf.train.load_checkpoint',
        'load_variable': 'tf.train.load_variable',
        'remove_squeezable_dimensions': (
            'tensorflow.python.ops.confusion_matrix.remove_squeezable_dimensions'),
        'smart_cond': 'tf_slim.layers.utils.smart_cond',
        'smart_constant_value': 'tf_slim.layers.utils.constant_value',
        'sort': 'tf.sort',
        'TensorSpec': 'tf.TensorSpec',
        'zero_initializer': 'tf.zeros_initializer',
    },
    'contrib.layers': {
        'optimize_loss': 'tf_slim.layers.optimizers.optimize_loss',
        'OPTIMIZER_CLS_NAMES': 'tf_slim.layers.optimizers.OPTIMIZER_CLS_NAMES',
        'adaptive_clipping_fn': 'tf_slim.layers.optimizers.adaptive_clipping_fn',
        'safe_embedding_lookup_sparse': 'tf.nn.safe_embedding_lookup_sparse',
    },
    'contrib.metrics': {
        'confusion_matrix': 'tf.confusion_matrix',
        'set_difference': 'tf.sets.difference',
        'set_intersection': 'tf.sets.intersection',
        'set_size': 'tf.sets.size',
        'set_union': 'tf.sets.union',
    },
    'contrib.data': {
        'Dataset': 'tf.data.Dataset',
        'FixedLengthRecordDataset': 'tf.data.FixedLengthRecordDataset',
        'Iterator': 'tf.data.Iterator',
        'TextLineDataset': 'tf.data.TextLineDataset',
        'TFRecordDataset': 'tf.data.TFRecordDataset',
        'batch_and_drop_remainder': (
            'slim_zoo.contrib.datasets.batch_and_drop_remainder'),
        'unbatch': 'tf.data.experimental.unbatch',
    },
    'contrib.rnn': {
        'static_rnn': 'tf.nn.static_rnn',
        'static_bidirectional_rnn': 'tf.nn.static_bidirectional_rnn',
    },
    'contrib.util': {
        'constant_value': 'tf.get_static_value',
        'make_ndarray': 'tf.make_ndarray',
        'make_tensor_proto': 'tf.make_tensor_proto',
    },
}
