"""tf.contrib.tfprof.model_analyzer: counts of parameters and operations."""

from slim_zoo.tf_compat import tf

_OPTIONS = tf.profiler.ProfileOptionBuilder

TRAINABLE_VARS_PARAMS_STAT_OPTIONS = _OPTIONS.trainable_variables_parameter()
FLOAT_OPS_OPTIONS = _OPTIONS.float_operation()


def print_model_analysis(graph, run_meta=None, op_log=None, tfprof_cmd='scope',
                         tfprof_options=TRAINABLE_VARS_PARAMS_STAT_OPTIONS):
  """Prints a profile of a graph by scopes and returns it as a proto.

  Args:
    graph: a tf.Graph.
    run_meta: RunMetadata of a step, for times and memory.
    op_log: as for tf.profiler.profile.
    tfprof_cmd: 'scope', 'graph', 'op' or 'code'.
    tfprof_options: what is counted.
  """
  return tf.profiler.profile(graph, run_meta, op_log, tfprof_cmd, tfprof_options)
