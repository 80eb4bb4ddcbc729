/* A delegate library that takes every SOFTMAX of float32 and computes it here. For the tests: it needs no headers, only the
 * beginnings of TensorFlow Lite's C structs (tensorflow/lite/core/c/common.h), which have not moved since 2.4. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int size; int data[]; } IntArray;
typedef struct { int type; float *data; IntArray *dims; } Tensor; /* the first fields of a larger struct */
typedef struct { IntArray *inputs, *outputs; } Node;
typedef struct Context Context;
typedef struct Delegate Delegate;
typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *later[8];
} Registration;
struct Context {
  size_t tensors_size;
  int (*GetExecutionPlan)(Context *, IntArray **);
  char *tensors;
  void *impl;
  int (*ResizeTensor)(Context *, Tensor *, IntArray *);
  void (*ReportError)(Context *, const char *, ...);
  int (*AddTensors)(Context *, int, int *);
  int (*GetNodeAndRegistration)(Context *, int, Node **, Registration **);
  int (*ReplaceNodeSubsetsWithDelegateKernels)(Context *, Registration, const IntArray *, Delegate *);
};
struct Delegate {
  void *data;
  int (*Prepare)(Context *, Delegate *);
  void *copies[3];
  int64_t flags;
  void *later[4];
};

enum { SOFTMAX = 25, SIZEOF_TENSOR = 112 };

static Tensor *tensor(Context *context, int index) {
  return (Tensor *)(context->tensors + (size_t)index * SIZEOF_TENSOR);
}

static int invoke(Context *context, Node *node) {
  Tensor *in = tensor(context, node->inputs->data[0]), *out = tensor(context, node->outputs->data[0]);
  int rows = 1, columns = in->dims->data[in->dims->size - 1];
  for (int i = 0; i + 1 < in->dims->size; ++i) rows *= in->dims->data[i];
  for (int r = 0; r < rows; ++r) {
    const float *x = in->data + r * columns;
    float *y = out->data + r * columns, high = x[0], sum = 0;
    for (int c = 1; c < columns; ++c) high = x[c] > high ? x[c] : high;
    for (int c = 0; c < columns; ++c) sum += y[c] = expf(x[c] - high);
    for (int c = 0; c < columns; ++c) y[c] /= sum;
  }
  return 0;
}

static int prepare(Context *context, Delegate *delegate) {
  IntArray *plan, *taken;
  if (context->GetExecutionPlan(context, &plan)) return 1;
  taken = malloc(sizeof(int) * (size_t)(plan->size + 1));
  taken->size = 0;
  for (int i = 0; i < plan->size; ++i) {
    Node *node;
    Registration *registration;
    if (context->GetNodeAndRegistration(context, plan->data[i], &node, &registration)) return 1;
    if (registration->builtin_code == SOFTMAX) taken->data[taken->size++] = plan->data[i];
  }
  Registration kernel = {.invoke = invoke, .custom_name = "softmax", .version = 1};
  int status = context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, taken, delegate);
  free(taken);
  return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  for (size_t i = 0; i < count; ++i) {
    if (!strcmp(keys[i], "device") && !strcmp(values[i], "absent")) {
      report("no such device");
      return NULL;
    }
  }
  Delegate *made = calloc(1, sizeof *made);
  made->Prepare = prepare;
  return made;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
