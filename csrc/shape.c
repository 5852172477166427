/* Sizes of values from sizes of inputs. */
#include <inttypes.h>
#include <stdio.h>

#include "family.h"

const char *pnng_shape_text(const pnng_shape *shape, char text[PNNG_SHAPE_TEXT]) {
    size_t used = (size_t)snprintf(text, PNNG_SHAPE_TEXT, "(");
    for (int64_t d = 0; d < shape->ndim; d++)
        used += (size_t)snprintf(text + used, PNNG_SHAPE_TEXT - used, "%s%" PRId64, d ? ", " : "",
                                 shape->dim[d]);
    snprintf(text + used, PNNG_SHAPE_TEXT - used, shape->ndim == 1 ? ",)" : ")");
    return text;
}

int64_t pnng_resolve_dim(const pnng_inference *inference, int64_t dim, int64_t ndim) {
    const int64_t place = dim < 0 ? dim + ndim : dim;
    if (place >= 0 && place < ndim)
        return place;
    char text[PNNG_SHAPE_TEXT];
    pnng_fail(inference->message, PNNG_ERROR_SHAPE,
              "has no dim %" PRId64 " in its input of shape %s", dim,
              pnng_shape_text(inference->in[0], text));
    return -1;
}

pnng_status pnng_infer_same(const pnng_inference *inference) {
    inference->out[0] = *inference->in[0];
    return PNNG_OK;
}

pnng_status pnng_shapes_new(pnng_program *program, const pnng_shape *inputs, size_t n_inputs,
                            pnng_shapes **out) {
    const pnng_allocator *const allocator = &program->allocator;
    pnng_shapes *const shapes = pnng_allocate_zeroed(allocator, 1, sizeof *shapes);
    *out = shapes;
    if (!shapes)
        return PNNG_ERROR_MEMORY;
    pnng_program_retain(program);
    shapes->program = program;
    shapes->message.op = -1;
    shapes->input = pnng_allocate(allocator, n_inputs, sizeof *inputs);
    if (!shapes->input) {
        pnng_shapes_free(shapes);
        *out = NULL;
        return PNNG_ERROR_MEMORY;
    }
    if (n_inputs != program->n_inputs)
        return pnng_fail(&shapes->message, PNNG_ERROR_ARGUMENT,
                         "the program has %zu inputs, got shapes of %zu", program->n_inputs,
                         n_inputs);
    for (size_t k = 0; k < n_inputs; k++) {
        const pnng_status status = pnng_check_shape(&shapes->message, &inputs[k]);
        if (status)
            return status;
        shapes->input[k] = inputs[k];
    }
    shapes->n_inputs = n_inputs;
    return PNNG_OK;
}

void pnng_shapes_free(pnng_shapes *shapes) {
    if (!shapes)
        return;
    pnng_program *const program = shapes->program;
    pnng_release(&program->allocator, shapes->shape);
    pnng_release(&program->allocator, shapes->input);
    pnng_release(&program->allocator, shapes);
    pnng_program_free(program);
}

const char *pnng_shapes_error(const pnng_shapes *shapes) { return shapes->message.text; }

int64_t pnng_shapes_error_op(const pnng_shapes *shapes) { return shapes->message.op; }

/* Sizes of inputs and parameters that came since the last call. */
static void fill_leaves(pnng_shapes *shapes) {
    const pnng_program *const program = shapes->program;
    for (; shapes->inputs_done < program->n_inputs; shapes->inputs_done++)
        shapes->shape[program->inputs[shapes->inputs_done]] = shapes->input[shapes->inputs_done];
    for (; shapes->params_done < program->n_params; shapes->params_done++)
        shapes->shape[program->params[shapes->params_done]] =
            program->param_shapes[shapes->params_done];
}

enum { PNNG_FEW_INPUTS = 16 };

/* The shapes of an op's inputs: in `few` where they fit, else in memory to be released with
 * release_inputs; NULL when memory ran out. */
static const pnng_shape **input_shapes(const pnng_shapes *shapes, const pnng_op_node *op,
                                       const pnng_shape *few[PNNG_FEW_INPUTS]) {
    const pnng_program *const program = shapes->program;
    const pnng_value *const in = pnng_op_inputs(program, op);
    const pnng_shape **const pointers =
        op->n_in <= PNNG_FEW_INPUTS
            ? few
            : pnng_allocate(&program->allocator, op->n_in, sizeof *pointers);
    for (size_t k = 0; pointers && k < op->n_in; k++)
        pointers[k] = &shapes->shape[in[k]];
    return pointers;
}

static void release_inputs(const pnng_shapes *shapes, const pnng_shape **pointers,
                           const pnng_shape **few) {
    if (pointers != few)
        pnng_release(&shapes->program->allocator, (void *)pointers);
}

static pnng_status infer_op(pnng_shapes *shapes, size_t number) {
    const pnng_program *const program = shapes->program;
    const pnng_op_node *const op = &program->ops[number];
    const pnng_shape *few[PNNG_FEW_INPUTS];
    const pnng_shape **const pointers = input_shapes(shapes, op, few);
    if (!pointers)
        return pnng_fail(&shapes->message, PNNG_ERROR_MEMORY, "out of memory");
    const pnng_inference inference = {
        .program = program,
        .op = op,
        .ints = pnng_op_ints(program, op),
        .in = pointers,
        .out = &shapes->shape[op->first_out],
        .message = &shapes->message,
    };
    pnng_status status = pnng_family_of(op->code)->infer(&inference);
    for (size_t k = 0; k < op->n_out && !status; k++)
        status = pnng_check_shape(&shapes->message, &inference.out[k]);
    release_inputs(shapes, pointers, few);
    if (status)
        shapes->message.op = (int64_t)number;
    return status;
}

pnng_status pnng_shapes_run(pnng_shapes *shapes, size_t n_ops) {
    const pnng_program *const program = shapes->program;
    shapes->message.op = -1;
    shapes->message.text[0] = '\0';
    if (shapes->n_inputs != program->n_inputs)
        return pnng_fail(&shapes->message, PNNG_ERROR_ARGUMENT,
                         "the program has got more inputs since");
    if (!pnng_reserve(&program->allocator, (void **)&shapes->shape, &shapes->capacity,
                      program->n_values, sizeof *shapes->shape))
        return pnng_fail(&shapes->message, PNNG_ERROR_MEMORY, "out of memory");
    fill_leaves(shapes);
    for (; shapes->ops_done < n_ops; shapes->ops_done++) {
        const pnng_status status = infer_op(shapes, shapes->ops_done);
        if (status)
            return status;
    }
    return PNNG_OK;
}

pnng_status pnng_shapes_multiply_adds(const pnng_shapes *shapes, size_t number, uint64_t *out) {
    const pnng_op_node *const op = &shapes->program->ops[number];
    const pnng_family *const family = pnng_family_of(op->code);
    if (!family->multiply_adds) {
        *out = 0;
        return PNNG_OK;
    }
    const pnng_shape *few[PNNG_FEW_INPUTS];
    const pnng_shape **const in = input_shapes(shapes, op, few);
    if (!in)
        return PNNG_ERROR_MEMORY;
    *out = family->multiply_adds(op, in, &shapes->shape[op->first_out]);
    release_inputs(shapes, in, few);
    return PNNG_OK;
}

pnng_status pnng_shapes_of(pnng_shapes *shapes, pnng_value value, pnng_shape *out) {
    const pnng_program *const program = shapes->program;
    if (value < 0 || (size_t)value >= program->n_values)
        return pnng_fail(&shapes->message, PNNG_ERROR_ARGUMENT, "value %d is not of this program",
                         value);
    const pnng_value_info *const info = &program->values[value];
    const pnng_status status =
        pnng_shapes_run(shapes, info->origin == PNNG_FROM_OP ? (size_t)info->index + 1 : 0);
    if (!status)
        *out = shapes->shape[value];
    return status;
}
