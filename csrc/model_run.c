/* Models that are loaded: preparing, running and changing them. */
#include "model.h"
#include "plan.h"

#include <string.h>

enum { ALIGNMENT = 64 };

static pnng_status not_prepared(pnng_model *model, const char *what) {
    return pnng_fail(&model->message, PNNG_ERROR_ORDER, "the model was not prepared%s", what);
}

/* ---- what there is -------------------------------------------------------------------------- */

int32_t pnng_model_dtype(const pnng_model *model) { return model->dtype; }

pnng_plan *pnng_model_plan(pnng_model *model) { return model->plan; }

/* The program that inputs and outputs are of; NULL in a model that could not be loaded. */
static const pnng_model_program *program_of(const pnng_model *model) {
    if (model->now || !model->loaded)
        return model->now;
    for (int mode = 0; mode < PNNG_MODEL_MODES; mode++)
        if (model->programs[mode].program)
            return &model->programs[mode];
    return NULL;
}

static bool is_input(int32_t group) {
    return group == PNNG_SLOT_INPUT || group == PNNG_SLOT_GRAD_INPUT;
}

static bool is_output(int32_t group) {
    return group == PNNG_SLOT_OUTPUT || group == PNNG_SLOT_GRAD_OUTPUT;
}

static bool is_param(int32_t group) {
    return group == PNNG_SLOT_PARAM || group == PNNG_SLOT_GRAD_PARAM;
}

size_t pnng_model_count(const pnng_model *model, int32_t group) {
    const pnng_model_program *const p = program_of(model);
    if (is_param(group))
        return model->loaded ? model->n_params : 0;
    return !p ? 0 : is_input(group) ? p->n_inputs : is_output(group) ? p->n_outputs : 0;
}

static const char *name_of(const pnng_model *model, int32_t group, size_t index) {
    if (is_param(group))
        return model->params[index].name;
    const pnng_model_program *const p = program_of(model);
    const pnng_model_port *const port = (is_input(group) ? p->inputs : p->outputs) + index;
    return port->name ? port->name : port->default_name;
}

int64_t pnng_model_find(const pnng_model *model, int32_t group, const char *name) {
    const size_t count = pnng_model_count(model, group);
    for (size_t k = 0; k < count; k++)
        if (!strcmp(name_of(model, group, k), name))
            return (int64_t)k;
    return -1;
}

pnng_status pnng_model_info(pnng_model *model, int32_t group, size_t index, pnng_array_info *out) {
    if (index >= pnng_model_count(model, group))
        return pnng_fail(&model->message, PNNG_ERROR_ARGUMENT, "there is no array %zu in group %d",
                         index, group);
    pnng_array_info info = {.name = name_of(model, group, index)};
    if (is_param(group)) {
        info.shape = *model->params[index].shape;
        info.has_grad = model->params[index].has_grad;
    } else if (model->plan) {
        const pnng_program *const program = model->now->program;
        const pnng_value value = (is_input(group) ? program->inputs : program->outputs)[index];
        info.kind = program->values[value].kind;
        pnng_plan_shape(model->plan, value, &info.shape);
    } else if (is_output(group)) {
        return not_prepared(model, ": it has no shapes of outputs");
    } else {
        info.kind = program_of(model)->inputs[index].kind;
        info.shape = program_of(model)->inputs[index].shape;
    }
    if (!is_param(group))
        info.has_grad = info.kind == PNNG_REAL;
    info.count = pnng_count(&info.shape);
    *out = info;
    return PNNG_OK;
}

/* ---- preparing ------------------------------------------------------------------------------ */

/* The shapes are those that the program was saved with, but for the first dims where any do. */
static pnng_status check_shapes(pnng_model *model, const pnng_model_program *p,
                                const pnng_shape *inputs, size_t n_inputs) {
    if (n_inputs != p->n_inputs)
        return pnng_fail(&model->message, PNNG_ERROR_ARGUMENT,
                         "the model has %zu inputs, and there are shapes for %zu", p->n_inputs,
                         n_inputs);
    for (size_t k = 0; k < n_inputs; k++) {
        const pnng_shape *const saved = &p->inputs[k].shape;
        bool fits = inputs[k].ndim == saved->ndim;
        for (int64_t d = 0; fits && d < saved->ndim; d++)
            fits = inputs[k].dim[d] == saved->dim[d] || (d == 0 && p->any_batch);
        if (fits)
            continue;
        char is[PNNG_SHAPE_TEXT], wanted[PNNG_SHAPE_TEXT];
        const pnng_status status = pnng_check_shape(&model->message, &inputs[k]);
        return status ? status
                      : pnng_fail(&model->message, PNNG_ERROR_SHAPE,
                                  "input %zu is %s, and the model was saved for %s%s", k,
                                  pnng_shape_text(&inputs[k], is), pnng_shape_text(saved, wanted),
                                  p->any_batch ? " and other first dims" : "");
    }
    return PNNG_OK;
}

/* Inputs, outputs and their gradients. */
static const int32_t port_groups[] = {PNNG_SLOT_INPUT, PNNG_SLOT_OUTPUT, PNNG_SLOT_GRAD_OUTPUT,
                                      PNNG_SLOT_GRAD_INPUT};

/* Bind the model's own arrays, one behind another from `memory` on; NULL: only count. The bytes of
 * them all, or 0 where they are more than can be addressed. */
static size_t bind_ports(const pnng_model_program *p, pnng_plan *plan, unsigned char *memory) {
    const pnng_program *const program = p->program;
    size_t bytes = ALIGNMENT;
    const size_t n_groups = plan->flags & PNNG_PLAN_BACKWARD ? 4 : 2;
    for (size_t g = 0; g < n_groups; g++) {
        const int32_t group = port_groups[g];
        const size_t count = is_input(group) ? p->n_inputs : p->n_outputs;
        for (size_t k = 0; k < count; k++) {
            const pnng_value value = (is_input(group) ? program->inputs : program->outputs)[k];
            const bool is_index = program->values[value].kind == PNNG_INDEX;
            if (is_index && g >= 2)
                continue;
            const size_t size = pnng_count(&plan->shapes->shape[value]) *
                                (is_index ? sizeof(int64_t) : plan->element);
            if (size > (size_t)PTRDIFF_MAX - 2 * ALIGNMENT - bytes)
                return 0;
            if (memory)
                plan->bases[PNNG_BASE_SLOTS + pnng_plan_slot(plan, group, k)] = memory + bytes;
            bytes += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
    }
    return bytes;
}

static unsigned char *aligned(void *memory) {
    return (unsigned char *)memory + (ALIGNMENT - (uintptr_t)memory % ALIGNMENT) % ALIGNMENT;
}

/* Memory for the gradients of parameters, of zeros, when it is first wanted. */
static bool take_gradients(pnng_model *model) {
    size_t count = 0;
    if (model->gradients)
        return true;
    for (size_t k = 0; k < model->n_params; k++)
        if (model->params[k].has_grad)
            count += model->params[k].count; /* as many as are in the file */
    model->gradients =
        pnng_allocate_zeroed(&model->allocator, count * model->element + ALIGNMENT, 1);
    if (!model->gradients)
        return false;
    unsigned char *place = aligned(model->gradients);
    for (size_t k = 0; k < model->n_params; k++)
        if (model->params[k].has_grad) {
            model->params[k].gradient = place;
            place += model->params[k].count * model->element;
        }
    model->n_gradients = count;
    return true;
}

static void bind_params(const pnng_model *model, const pnng_model_program *p, pnng_plan *plan) {
    for (size_t k = 0; k < p->program->n_params; k++) {
        const pnng_model_param *const param = &model->params[p->params[k]];
        void **const slots = plan->bases + PNNG_BASE_SLOTS;
        slots[pnng_plan_slot(plan, PNNG_SLOT_PARAM, k)] = param->data;
        slots[pnng_plan_slot(plan, PNNG_SLOT_GRAD_PARAM, k)] = param->gradient;
    }
}

static pnng_status prepare(pnng_model *model, const pnng_model_program *p, pnng_plan *plan) {
    const size_t bytes = bind_ports(p, plan, NULL);
    void *const ports =
        bytes ? pnng_allocate_zeroed(&model->allocator, bytes + ALIGNMENT, 1) : NULL;
    if (!ports || (plan->flags & PNNG_PLAN_BACKWARD && !take_gradients(model))) {
        pnng_release(&model->allocator, ports);
        return pnng_fail(&model->message, PNNG_ERROR_MEMORY, "out of memory");
    }
    bind_ports(p, plan, aligned(ports));
    bind_params(model, p, plan);
    pnng_plan_free(model->plan);
    pnng_release(&model->allocator, model->ports);
    model->plan = plan;
    model->ports = ports;
    model->now = p;
    return PNNG_OK;
}

pnng_status pnng_model_prepare(pnng_model *model, int32_t mode, const pnng_shape *inputs,
                               size_t n_inputs, int32_t flags) {
    model->message.text[0] = '\0';
    const pnng_model_program *const p =
        mode >= 0 && mode < PNNG_MODEL_MODES ? &model->programs[mode] : NULL;
    if (!model->loaded || !p || !p->program)
        return pnng_fail(&model->message, PNNG_ERROR_ARGUMENT, "the model has no program %d", mode);
    pnng_shape *saved = NULL;
    pnng_status status = PNNG_OK;
    if (inputs) {
        status = check_shapes(model, p, inputs, n_inputs);
    } else {
        saved = pnng_allocate(&model->allocator, p->n_inputs, sizeof *saved);
        if (!saved)
            return pnng_fail(&model->message, PNNG_ERROR_MEMORY, "out of memory");
        for (size_t k = 0; k < p->n_inputs; k++)
            saved[k] = p->inputs[k].shape;
    }
    pnng_plan *plan = NULL;
    if (!status) {
        status = pnng_plan_new(p->program, model->dtype, inputs ? inputs : saved, p->n_inputs,
                               flags, &plan);
        if (status)
            pnng_fail(&model->message, status, "%s", plan ? plan->message.text : "out of memory");
    }
    pnng_release(&model->allocator, saved);
    if (!status)
        status = prepare(model, p, plan);
    if (status)
        pnng_plan_free(plan);
    return status;
}

void *pnng_model_array(pnng_model *model, int32_t group, size_t index) {
    if (index >= pnng_model_count(model, group))
        return NULL;
    if (is_param(group))
        return group == PNNG_SLOT_PARAM ? model->params[index].data : model->params[index].gradient;
    return model->plan ? pnng_plan_slots(model->plan)[pnng_plan_slot(model->plan, group, index)]
                       : NULL;
}

/* The plan's message is the model's. */
static pnng_status told(pnng_model *model, pnng_status status) {
    if (status)
        model->message = model->plan->message;
    else
        model->message.text[0] = '\0';
    return status;
}

pnng_status pnng_model_bind(pnng_model *model, int32_t group, size_t index, void *data) {
    if (!model->plan)
        return not_prepared(model, "");
    if (is_param(group) || index >= pnng_model_count(model, group))
        return pnng_fail(&model->message, PNNG_ERROR_ARGUMENT,
                         "there is no array %zu in group %d that can be bound", index, group);
    return told(model,
                pnng_plan_bind(model->plan, pnng_plan_slot(model->plan, group, index), data));
}

/* ---- running -------------------------------------------------------------------------------- */

pnng_status pnng_model_forward(pnng_model *model, uint64_t seed) {
    return model->plan ? told(model, pnng_plan_forward(model->plan, seed))
                       : not_prepared(model, "");
}

pnng_status pnng_model_backward(pnng_model *model, double scale, int32_t mask) {
    return model->plan ? told(model, pnng_plan_backward(model->plan, scale, mask))
                       : not_prepared(model, "");
}

void pnng_model_zero_gradients(pnng_model *model) {
    if (model->gradients)
        memset(aligned(model->gradients), 0, model->n_gradients * model->element);
}

/* ---- steps of optimisers -------------------------------------------------------------------- */

/* Make ready for a step of a method that keeps so many arrays. */
static pnng_status begin_step(pnng_model *model, int32_t method, size_t arrays) {
    model->message.text[0] = '\0';
    if (!model->gradients)
        return not_prepared(model, " with a backward: there are no gradients");
    if (model->method == method)
        return PNNG_OK;
    const size_t bytes = model->n_gradients * model->element;
    void *const state =
        arrays ? pnng_allocate_zeroed(&model->allocator, arrays * bytes + ALIGNMENT, 1) : NULL;
    if (arrays && !state)
        return pnng_fail(&model->message, PNNG_ERROR_MEMORY, "out of memory");
    pnng_release(&model->allocator, model->state);
    model->state = state;
    model->method = method;
    model->steps = 0;
    return PNNG_OK;
}

/* The optimiser's array `which` for the gradient of a parameter. */
static void *state_of(const pnng_model *model, const pnng_model_param *param, size_t which) {
    const size_t offset = (size_t)((unsigned char *)param->gradient - aligned(model->gradients));
    return aligned(model->state) + which * model->n_gradients * model->element + offset;
}

static pnng_status step_failed(pnng_model *model, pnng_status status) {
    return pnng_fail(&model->message, status, "the optimiser's step cannot be made: %s",
                     pnng_cpu_info()->problem ? pnng_cpu_info()->problem : "a wrong argument");
}

pnng_status pnng_model_sgd(pnng_model *model, double rate, double momentum, double weight_decay) {
    /* Without momentum nothing is kept; what another step has kept stays for the next. */
    pnng_status status =
        momentum != 0 || !model->gradients ? begin_step(model, PNNG_STATE_SGD, 1) : PNNG_OK;
    if (status)
        return status;
    for (size_t k = 0; k < model->n_params; k++) {
        const pnng_model_param *const p = &model->params[k];
        if (!p->gradient)
            continue;
        status = pnng_optim_sgd(model->dtype, p->count, p->data, p->gradient,
                                momentum != 0 ? state_of(model, p, 0) : NULL, NULL, NULL, rate,
                                weight_decay, momentum, 0, 0);
        if (status)
            return step_failed(model, status);
    }
    return PNNG_OK;
}

pnng_status pnng_model_adam(pnng_model *model, double rate, double beta1, double beta2,
                            double epsilon, double weight_decay) {
    pnng_status status = begin_step(model, PNNG_STATE_ADAM, 2);
    if (status)
        return status;
    model->steps++;
    for (size_t k = 0; k < model->n_params; k++) {
        const pnng_model_param *const p = &model->params[k];
        if (!p->gradient)
            continue;
        status = pnng_optim_adam(model->dtype, p->count, p->data, p->gradient,
                                 state_of(model, p, 0), state_of(model, p, 1), rate, beta1, beta2,
                                 epsilon, weight_decay, model->steps);
        if (status)
            return step_failed(model, status);
    }
    return PNNG_OK;
}

const void *pnng_model_bytes(const pnng_model *model, size_t *count) {
    *count = model->n_bytes;
    return model->bytes;
}
