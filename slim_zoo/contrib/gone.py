"""Names of TensorFlow 1 that are not provided, and what to use in their place.

A key is a name inside `tensorflow`. Its row also applies to all names inside that name.
"""

GONE = {
    # Parts of tf.contrib.
    'contrib.bayesflow': 'use the package tensorflow-probability',
    'contrib.boosted_trees': 'use the package tensorflow-decision-forests',
    'contrib.checkpoint': 'use tf.train.Checkpoint',
    'contrib.coder': 'use the package tensorflow-compression',
    'contrib.compiler': 'use tf.xla.experimental',
    'contrib.copy_graph': 'use tf.train.export_meta_graph and import_meta_graph',
    'contrib.crf': 'take the module crf.py of the package tensorflow-addons, which has'
                   ' no maintainer now, into the program',
    'contrib.cudnn_rnn': 'use tf.keras.layers.LSTM or GRU, which use cuDNN',
    'contrib.decision_trees': 'use the package tensorflow-decision-forests',
    'contrib.deprecated.histogram_summary': 'use tf.summary.histogram',
    'contrib.deprecated.image_summary': 'use tf.summary.image',
    'contrib.deprecated.scalar_summary': 'use tf.summary.scalar',
    'contrib.deprecated.merge_all_summaries': 'use tf.summary.merge_all',
    'contrib.distributions': 'use tf.distributions, or tensorflow-probability',
    'contrib.eager': 'programs in eager mode need no slim: use TensorFlow 2 directly',
    'contrib.estimator': 'TensorFlow has no estimators since 2.16: train with'
                         ' slim.learning.train or tf.train.MonitoredTrainingSession',
    'contrib.factorization': 'use scikit-learn',
    'contrib.feature_column': 'use tf.feature_column',
    'contrib.ffmpeg': 'use tf.audio.decode_wav',
    'contrib.gan': 'use the package tensorflow-gan',
    'contrib.graph_editor': 'use tf.graph_util and tf.import_graph_def',
    'contrib.image': 'use tf.raw_ops.ImageProjectiveTransformV3 for rotate, translate'
                     ' and transform',
    'contrib.kfac': 'use the package kfac-jax',
    'contrib.labeled_tensor': 'use the package xarray, outside the graph',
    'contrib.layers.bow_encoder': 'use tf.nn.embedding_lookup and tf.reduce_mean',
    'contrib.layers.embed_sequence': 'use tf.get_variable and tf.nn.embedding_lookup',
    'contrib.layers.feature_column': 'use tf.feature_column',
    'contrib.layers.input_from_feature_columns': 'use tf.feature_column.input_layer',
    'contrib.layers.real_valued_column': 'use tf.feature_column.numeric_column',
    'contrib.layers.sparse_column_with_hash_bucket':
        'use tf.feature_column.categorical_column_with_hash_bucket',
    'contrib.layers.sparse_column_with_keys':
        'use tf.feature_column.categorical_column_with_vocabulary_list',
    'contrib.learn': 'TensorFlow has no estimators since 2.16: train with'
                     ' slim.learning.train, read files with tf.data',
    'contrib.legacy_seq2seq': 'use tf.nn.dynamic_rnn, or Keras',
    'contrib.linear_optimizer': 'use tf.train.FtrlOptimizer',
    'contrib.memory_stats': 'use tf.compat.v2.config.experimental.get_memory_info',
    'contrib.metrics.streaming_true_positive_rate': 'use tf.metrics.recall',
    'contrib.mixed_precision':
        'use slim-zoo train --precision=float16, or a loss scale of your own',
    'contrib.model_pruning': 'use the package tensorflow-model-optimization',
    'contrib.nccl': 'use tf.distribute, or slim-zoo train --num_clones',
    'contrib.nn': 'use tf.nn',
    'contrib.opt.AdamWOptimizer': 'use slim-zoo train --optimizer=adamw, or'
                                  ' tf.train.AdamOptimizer and a decay of your own',
    'contrib.opt.LazyAdamOptimizer': 'use tf.train.AdamOptimizer',
    'contrib.opt.MovingAverageOptimizer': 'use tf.train.ExponentialMovingAverage',
    'contrib.opt.NadamOptimizer': 'use tf.train.AdamOptimizer',
    'contrib.opt.ScipyOptimizerInterface': 'use scipy.optimize.minimize',
    'contrib.opt': 'use the optimizers of tf.train',
    'contrib.predictor': 'use tf.saved_model.load, or slim-zoo classify',
    'contrib.rnn.LayerNormBasicLSTMCell': 'use tf.nn.rnn_cell.LSTMCell',
    'contrib.seq2seq': 'use tf.nn.dynamic_rnn, or Keras',
    'contrib.session_bundle': 'use tf.saved_model',
    'contrib.sparsemax': 'write it with tf.sort and tf.cumsum: Martins and Astudillo'
                         ' 2016, arXiv 1602.02068',
    'contrib.stat_summarizer': 'use tf.profiler',
    'contrib.stateless': 'use tf.random.stateless_uniform and its neighbours',
    'contrib.summary': 'use tf.summary',
    'contrib.tensor_forest': 'use the package tensorflow-decision-forests',
    'contrib.tensorboard': 'use the package tensorboard',
    'contrib.tensorrt': 'use the package tensorrt with an ONNX file: slim-zoo export'
                        ' --format=onnx',
    'contrib.testing': 'use tf.test',
    'contrib.timeseries': 'use the package tensorflow-probability',
    'contrib.tpu': 'slim here trains on CPUs and GPUs: use slim.learning.train and an'
                   ' optimizer of tf.train without the wrappers for TPUs',
    'contrib.training.bucket_by_sequence_length':
        'use tf.data.experimental.bucket_by_sequence_length',
    'contrib.training.bucket': 'use tf.data.experimental.bucket_by_sequence_length',
    'contrib.training.batch_sequences_with_states': 'use tf.data',
    'contrib.training.stratified_sample': 'use tf.data.experimental.rejection_resample',
    'contrib.training.rejection_sample': 'use tf.data.experimental.rejection_resample',
    'contrib.training.python_input': 'use tf.data.Dataset.from_generator',
    'contrib.slim.nets.inception_v4': 'use `from nets import inception_v4`',
    'contrib.slim.nets.inception_resnet_v2':
        'use `from nets import inception_resnet_v2`',
    'contrib.slim.nets.mobilenet_v1': 'use `from nets import mobilenet_v1`',
    'contrib.slim.nets.lenet': 'use `from nets import lenet`',
    'contrib.slim.nets.nets_factory': 'use `from nets import nets_factory`',
    # Parts of TensorFlow itself.
    'estimator': 'TensorFlow has no estimators since 2.16: train with'
                 ' slim.learning.train or tf.train.MonitoredTrainingSession, or use'
                 ' slim-zoo train',
    'python.estimator': 'TensorFlow has no estimators since 2.16: train with'
                        ' slim.learning.train or tf.train.MonitoredTrainingSession',
    # Python imports the package first, so its row has to answer for tutorials.mnist.
    'examples': 'for MNIST use slim-zoo download --dataset_name=mnist, or'
                ' tf.keras.datasets.mnist.load_data()',
    'models': 'install the code of the models beside the program',
    # Names from before TensorFlow 1.0.
    'batch_matmul': 'use tf.matmul',
    'complex_abs': 'use tf.abs',
    'histogram_summary': 'use tf.summary.histogram',
    'image_summary': 'use tf.summary.image',
    'listdiff': 'use tf.setdiff1d',
    'merge_all_summaries': 'use tf.summary.merge_all',
    'merge_summary': 'use tf.summary.merge',
    'mul': 'use tf.multiply',
    'neg': 'use tf.negative',
    'pack': 'use tf.stack',
    'scalar_summary': 'use tf.summary.scalar',
    'select': 'use tf.where',
    'sub': 'use tf.subtract',
    'unpack': 'use tf.unstack',
    'train.SummaryWriter': 'use tf.summary.FileWriter',
}


def advice(name: str) -> str | None:
  """Returns what to use in place of a name below `tensorflow`; None if unknown."""
  while name:
    if name in GONE:
      return GONE[name]
    name = name.rpartition('.')[0]
  return None
