/* Building programs. */
#include "program.h"

#include <stdio.h>
#include <string.h>

#include "family.h"

pnng_status pnng_fail(pnng_message *message, pnng_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message->text, sizeof message->text, format, arguments);
    va_end(arguments);
    message->op = -1;
    return status;
}

static pnng_status out_of_memory(pnng_program *program) {
    return pnng_fail(&program->message, PNNG_ERROR_MEMORY, "out of memory");
}

pnng_status pnng_program_new(const pnng_allocator *allocator, pnng_program **out) {
    if (!allocator)
        allocator = &pnng_default_allocator;
    pnng_program *program = pnng_allocate_zeroed(allocator, 1, sizeof *program);
    *out = program;
    if (!program)
        return PNNG_ERROR_MEMORY;
    program->allocator = *allocator;
    program->message.op = -1;
    atomic_init(&program->references, 1);
    return PNNG_OK;
}

void pnng_program_retain(pnng_program *program) { atomic_fetch_add(&program->references, 1); }

void pnng_program_free(pnng_program *program) {
    if (!program || atomic_fetch_sub(&program->references, 1) != 1)
        return;
    const pnng_allocator allocator = program->allocator;
    void *const parts[] = {program->values,  program->ops,         program->operands,
                           program->ints,    program->inputs,      program->params,
                           program->outputs, program->param_shapes};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        pnng_release(&allocator, parts[k]);
    pnng_release(&allocator, program);
}

const char *pnng_program_error(const pnng_program *program) { return program->message.text; }

size_t pnng_program_n_ops(const pnng_program *program) { return program->n_ops; }

int32_t pnng_program_draws(const pnng_program *program) { return program->n_noise > 0; }

/* Room for `more` elements at the end of one of the program's arrays. */
#define ROOM(program, array, count, capacity, more)                                                \
    pnng_reserve(&(program)->allocator, (void **)&(program)->array, &(program)->capacity,          \
                 (program)->count + (more), sizeof *(program)->array)

static pnng_status check_open(pnng_program *program) {
    program->message.text[0] = '\0';
    if (program->sealed)
        return pnng_fail(&program->message, PNNG_ERROR_ARGUMENT,
                         "the program is sealed: it cannot change any more");
    return PNNG_OK;
}

/* Append a value. Room must have been made. */
static pnng_value push_value(pnng_program *program, int kind, pnng_origin origin, size_t index) {
    const pnng_value value = (pnng_value)program->n_values++;
    program->values[value] = (pnng_value_info){
        .kind = (uint8_t)kind, .origin = (uint8_t)origin, .update = -1, .index = (uint32_t)index};
    return value;
}

pnng_status pnng_program_input(pnng_program *program, int32_t kind, int32_t has_grad,
                               pnng_value *out) {
    const pnng_status status = check_open(program);
    if (status)
        return status;
    if (kind != PNNG_REAL && kind != PNNG_INDEX)
        return pnng_fail(&program->message, PNNG_ERROR_ARGUMENT, "no such kind of value: %d", kind);
    if (!ROOM(program, values, n_values, cap_values, 1) ||
        !ROOM(program, inputs, n_inputs, cap_inputs, 1))
        return out_of_memory(program);
    *out = push_value(program, kind, PNNG_FROM_INPUT, program->n_inputs);
    program->values[*out].has_grad = kind == PNNG_REAL && has_grad != 0;
    program->inputs[program->n_inputs++] = *out;
    return PNNG_OK;
}

pnng_status pnng_check_shape(pnng_message *message, const pnng_shape *shape) {
    if (shape->ndim < 0 || shape->ndim > PNNG_MAX_DIMS)
        return pnng_fail(message, PNNG_ERROR_SHAPE, "an array has 0 to %d dims, got %lld",
                         PNNG_MAX_DIMS, (long long)shape->ndim);
    /* Bytes of the whole must fit in ptrdiff_t, whatever the order of the factors. */
    size_t count = sizeof(double);
    for (int64_t d = 0; d < shape->ndim; d++) {
        if (shape->dim[d] < 0)
            return pnng_fail(message, PNNG_ERROR_SHAPE, "size %lld of dim %lld is negative",
                             (long long)shape->dim[d], (long long)d);
        /* A size of 0 does not excuse the others: strides are products of some of them. */
        const size_t size = shape->dim[d] ? (size_t)shape->dim[d] : 1;
        if (count > (size_t)PTRDIFF_MAX / size)
            return pnng_fail(message, PNNG_ERROR_SHAPE, "an array this large cannot be addressed");
        count *= size;
    }
    return PNNG_OK;
}

pnng_status pnng_program_param(pnng_program *program, const pnng_shape *shape, int32_t has_grad,
                               pnng_value *out) {
    pnng_status status = check_open(program);
    if (!status)
        status = pnng_check_shape(&program->message, shape);
    if (status)
        return status;
    if (!ROOM(program, values, n_values, cap_values, 1) ||
        !ROOM(program, params, n_params, cap_params, 1) ||
        !ROOM(program, param_shapes, n_params, cap_param_shapes, 1))
        return out_of_memory(program);
    *out = push_value(program, PNNG_REAL, PNNG_FROM_PARAM, program->n_params);
    program->values[*out].has_grad = has_grad != 0;
    program->param_shapes[program->n_params] = *shape;
    program->params[program->n_params++] = *out;
    return PNNG_OK;
}

pnng_status pnng_program_pack(pnng_program *program, pnng_value param) {
    const pnng_status status = check_open(program);
    if (status)
        return status;
    if (param < 0 || (size_t)param >= program->n_values ||
        program->values[param].origin != PNNG_FROM_PARAM)
        return pnng_fail(&program->message, PNNG_ERROR_ARGUMENT, "value %d is not a parameter",
                         param);
    program->values[param].packs = 1;
    return PNNG_OK;
}

pnng_status pnng_program_update(pnng_program *program, pnng_value buffer, pnng_value value) {
    const pnng_status status = check_open(program);
    if (status)
        return status;
    if (buffer < 0 || (size_t)buffer >= program->n_values ||
        program->values[buffer].origin != PNNG_FROM_PARAM || program->values[buffer].has_grad)
        return pnng_fail(&program->message, PNNG_ERROR_ARGUMENT, "value %d is not a buffer",
                         buffer);
    if (value < 0 || (size_t)value >= program->n_values)
        return pnng_fail(&program->message, PNNG_ERROR_ARGUMENT, "value %d is not of this program",
                         value);
    if (program->values[value].kind != PNNG_REAL)
        return pnng_fail(&program->message, PNNG_ERROR_TYPE,
                         "a buffer cannot become value %d, which holds indices", value);
    program->values[buffer].update = value;
    return PNNG_OK;
}

/* Numbers of inputs, outputs and attributes against the registry's row. */
static pnng_status check_counts(pnng_program *program, const pnng_op_info *info, size_t n_in,
                                const int64_t *ints, size_t n_ints, size_t n_nums, size_t n_out) {
    pnng_message *const message = &program->message;
    if (n_in < (size_t)info->min_inputs ||
        (info->max_inputs >= 0 && n_in > (size_t)info->max_inputs)) {
        if (info->max_inputs == info->min_inputs)
            return pnng_fail(message, PNNG_ERROR_ARGUMENT, "%s takes %d inputs, got %zu",
                             info->name, info->min_inputs, n_in);
        if (info->max_inputs > 0)
            return pnng_fail(message, PNNG_ERROR_ARGUMENT, "%s takes %d to %d inputs, got %zu",
                             info->name, info->min_inputs, info->max_inputs, n_in);
        return pnng_fail(message, PNNG_ERROR_ARGUMENT, "%s takes at least %d inputs, got %zu",
                         info->name, info->min_inputs, n_in);
    }
    if (info->n_ints >= 0 && n_ints != (size_t)info->n_ints)
        return pnng_fail(message, PNNG_ERROR_ARGUMENT, "%s takes %d integers, got %zu", info->name,
                         info->n_ints, n_ints);
    if (n_nums != (size_t)info->n_nums)
        return pnng_fail(message, PNNG_ERROR_ARGUMENT, "%s takes %d reals, got %zu", info->name,
                         info->n_nums, n_nums);
    const int64_t outputs = info->n_outputs >= 0 ? info->n_outputs : ints[1];
    if (outputs < 0 || (uint64_t)outputs != n_out)
        return pnng_fail(message, PNNG_ERROR_ARGUMENT, "%s has %lld outputs, not %zu", info->name,
                         (long long)outputs, n_out);
    return PNNG_OK;
}

/* Indices where the family wants indices, reals elsewhere. */
static pnng_status check_kinds(pnng_program *program, const pnng_op_info *info,
                               const pnng_family *family, const pnng_value *in, size_t n_in) {
    for (size_t k = 0; k < n_in; k++) {
        if (in[k] < 0 || (size_t)in[k] >= program->n_values)
            return pnng_fail(&program->message, PNNG_ERROR_ARGUMENT,
                             "input %zu of %s is value %d, which is not of this program", k,
                             info->name, in[k]);
        const int kind = program->values[in[k]].kind;
        const bool wants_index = k < 32 && (family->index_inputs >> k & 1);
        if (!family->any_kind && kind != (wants_index ? PNNG_INDEX : PNNG_REAL))
            return pnng_fail(&program->message, PNNG_ERROR_TYPE,
                             wants_index ? "input %zu of %s must be indices, got reals"
                                         : "input %zu of %s must be reals, got indices",
                             k, info->name);
    }
    return PNNG_OK;
}

pnng_status pnng_program_op(pnng_program *program, int32_t op, const pnng_value *in, size_t n_in,
                            const int64_t *ints, size_t n_ints, const double *nums, size_t n_nums,
                            pnng_value *out, size_t n_out) {
    pnng_status status = check_open(program);
    if (status)
        return status;
    if (op < 0 || op >= PNNG_OP_COUNT)
        return pnng_fail(&program->message, PNNG_ERROR_ARGUMENT, "no such op: %d", op);
    const pnng_op_info *const info = pnng_op_table(NULL) + op;
    const pnng_family *const family = pnng_family_of((pnng_op)op);
    status = check_counts(program, info, n_in, ints, n_ints, n_nums, n_out);
    if (!status)
        status = check_kinds(program, info, family, in, n_in);
    if (status)
        return status;
    /* Values, and places in these arrays, are numbers of 32 bits. */
    const size_t most = INT32_MAX;
    if (n_out > most - program->n_values || n_in > most - program->n_operands ||
        n_ints > most - program->n_ints)
        return pnng_fail(&program->message, PNNG_ERROR_ARGUMENT, "the program is too long");
    if (!ROOM(program, values, n_values, cap_values, n_out) ||
        !ROOM(program, ops, n_ops, cap_ops, 1) ||
        !ROOM(program, operands, n_operands, cap_operands, n_in) ||
        !ROOM(program, ints, n_ints, cap_ints, n_ints))
        return out_of_memory(program);

    pnng_op_node *const node = &program->ops[program->n_ops];
    *node = (pnng_op_node){
        .code = (pnng_op)op,
        .n_in = (uint32_t)n_in,
        .n_out = (uint32_t)n_out,
        .n_ints = (uint32_t)n_ints,
        .first_in = (uint32_t)program->n_operands,
        .first_int = (uint32_t)program->n_ints,
        .first_out = (pnng_value)program->n_values,
        .noise = family->draws ? ++program->n_noise : 0,
    };
    for (size_t k = 0; k < n_nums; k++)
        node->num[k] = nums[k];
    for (size_t k = 0; k < n_in; k++)
        program->operands[program->n_operands++] = in[k];
    for (size_t k = 0; k < n_ints; k++)
        program->ints[program->n_ints++] = ints[k];
    for (size_t k = 0; k < n_out; k++) {
        const int kind = family->index_output                     ? PNNG_INDEX
                         : family->any_kind && family->keeps_kind ? program->values[in[0]].kind
                                                                  : PNNG_REAL;
        out[k] = push_value(program, kind, PNNG_FROM_OP, program->n_ops);
    }
    program->n_ops++;
    return PNNG_OK;
}

pnng_status pnng_program_output(pnng_program *program, pnng_value value) {
    const pnng_status status = check_open(program);
    if (status)
        return status;
    if (value < 0 || (size_t)value >= program->n_values)
        return pnng_fail(&program->message, PNNG_ERROR_ARGUMENT, "value %d is not of this program",
                         value);
    if (!ROOM(program, outputs, n_outputs, cap_outputs, 1))
        return out_of_memory(program);
    program->outputs[program->n_outputs++] = value;
    return PNNG_OK;
}

pnng_status pnng_program_host(pnng_program *program, const pnng_host *host) {
    const pnng_status status = check_open(program);
    if (!status)
        program->host = *host;
    return status;
}

pnng_status pnng_program_seal(pnng_program *program) {
    const pnng_status status = check_open(program);
    if (!status)
        program->sealed = true;
    return status;
}
