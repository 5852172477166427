/* Models: reading files, good and bad; running, training and saving them; memory that runs out. */
#include "engine_support.h"

#include "../../csrc/model_json.h"

/* ---- files that are made here ---------------------------------------------------------------- */

enum { FILE_BYTES = 16384 };

typedef struct file {
    _Alignas(64) unsigned char bytes[FILE_BYTES];
    size_t count;
} file;

/* y = x w' + b; in training, what a buffer holds becomes twice b. */
static const char linear_model[] =
    "{\"version\":1,\"root\":{\"module\":0},\"modules\":[],\"cells\":[],\"programs\":["
    "{\"mode\":\"evaluate\",\"any_batch\":true,\"values\":4,\"output_names\":[\"y\"],"
    "\"inputs\":[{\"value\":0,\"name\":\"x\",\"kind\":\"real\",\"shape\":[2,3]}],"
    "\"parameters\":[{\"value\":1,\"array\":\"w\",\"gradient\":true},"
    "{\"value\":2,\"array\":\"b\",\"gradient\":true}],"
    "\"ops\":[{\"op\":\"linear\",\"inputs\":[0,1,2],\"ints\":[],\"nums\":[],\"outputs\":[3]}],"
    "\"updates\":[],\"outputs\":[3]},"
    "{\"mode\":\"train\",\"any_batch\":false,\"values\":6,"
    "\"inputs\":[{\"value\":5,\"kind\":\"real\",\"shape\":[2,3]}],"
    "\"parameters\":[{\"value\":1,\"array\":\"w\",\"gradient\":true},"
    "{\"value\":2,\"array\":\"b\",\"gradient\":true},"
    "{\"value\":0,\"array\":\"kept \\u00e9\",\"gradient\":false}],"
    "\"ops\":[{\"op\":\"linear\",\"inputs\":[5,1,2],\"ints\":[],\"nums\":[],\"outputs\":[3]},"
    "{\"op\":\"mul_constant\",\"inputs\":[2],\"ints\":[],\"nums\":[2.0],\"outputs\":[4]}],"
    "\"updates\":[[0,4]],\"outputs\":[3]}]}";

static const double w[] = {1, 2, 3, -1, 0.5, 4}, b[] = {0.25, -8};

/* A header with a model as a text in its metadata; arrays w, b and kept, of float64. */
static file make_file(const char *model) {
    file f = {.count = 8};
    char *to = (char *)f.bytes + 8;
    to += sprintf(to, "{\"__metadata__\":{\"format\":\"pynngraph\",\"pynngraph\":\"");
    for (const char *from = model; *from; from++) {
        if (*from == '"' || *from == '\\')
            *to++ = '\\';
        *to++ = *from;
    }
    to += sprintf(to, "\"},\"w\":{\"dtype\":\"F64\",\"shape\":[2,3],\"data_offsets\":[0,48]},"
                      "\"b\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[48,64]},"
                      "\"kept \\u00E9\":{\"dtype\":\"F64\",\"shape\":[2],"
                      "\"data_offsets\":[64,80]}}");
    while ((size_t)(to - (char *)f.bytes) % 64)
        *to++ = ' ';
    const uint64_t n_header = (uint64_t)(to - (char *)f.bytes) - 8;
    for (int k = 0; k < 8; k++)
        f.bytes[k] = (unsigned char)(n_header >> 8 * k);
    memcpy(to, w, sizeof w);
    memcpy(to + 48, b, sizeof b);
    memset(to + 64, 0, 16);
    f.count = 8 + n_header + 80;
    return f;
}

/* The text with the first `from` in it as `to`. */
static char *replaced(const char *text, const char *from, const char *to) {
    static char out[FILE_BYTES];
    const char *const at = strstr(text, from);
    if (!CHECK(at != NULL))
        exit(1);
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static pnng_model *load(const file *f, const pnng_allocator *allocator) {
    pnng_model *model = NULL;
    if (!CHECK(pnng_model_load_memory(f->bytes, f->count, 0, allocator, &model) == PNNG_OK))
        printf("%s\n", model ? pnng_model_error(model) : "no memory");
    return model;
}

static double *array_of(pnng_model *model, int32_t group, size_t index) {
    return pnng_model_array(model, group, index);
}

static void fill_input(pnng_model *model) {
    double *const x = array_of(model, PNNG_SLOT_INPUT, 0);
    for (int k = 0; k < 6; k++)
        x[k] = k + 1;
}

/* ---- running --------------------------------------------------------------------------------- */

static void test_names(void) {
    snprintf(test_where, sizeof test_where, "names");
    const file f = make_file(linear_model);
    pnng_model *const model = load(&f, NULL);
    pnng_array_info info;
    CHECK(pnng_model_dtype(model) == PNNG_F64);
    CHECK(pnng_model_count(model, PNNG_SLOT_INPUT) == 1);
    CHECK(pnng_model_count(model, PNNG_SLOT_OUTPUT) == 1);
    CHECK(pnng_model_count(model, PNNG_SLOT_PARAM) == 3);
    CHECK(pnng_model_count(model, PNNG_SLOT_PACKED) == 0 && pnng_model_count(model, -1) == 0);
    CHECK(pnng_model_find(model, PNNG_SLOT_INPUT, "x") == 0);
    CHECK(pnng_model_find(model, PNNG_SLOT_GRAD_OUTPUT, "y") == 0);
    CHECK(pnng_model_find(model, PNNG_SLOT_PARAM, "b") == 1);
    CHECK(pnng_model_find(model, PNNG_SLOT_PARAM, "kept \xc3\xa9") == 2);
    CHECK(pnng_model_find(model, PNNG_SLOT_PARAM, "x") == -1);
    CHECK(pnng_model_info(model, PNNG_SLOT_PARAM, 0, &info) == PNNG_OK);
    CHECK(!strcmp(info.name, "w") && info.has_grad == 1 && info.count == 6);
    CHECK(info.shape.ndim == 2 && info.shape.dim[0] == 2 && info.shape.dim[1] == 3);
    CHECK(pnng_model_info(model, PNNG_SLOT_PARAM, 2, &info) == PNNG_OK && !info.has_grad);
    CHECK(pnng_model_info(model, PNNG_SLOT_PARAM, 3, &info) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_model_info(model, PNNG_SLOT_INPUT, 0, &info) == PNNG_OK && info.count == 6);
    CHECK(pnng_model_info(model, PNNG_SLOT_OUTPUT, 0, &info) == PNNG_ERROR_ORDER);
    CHECK(pnng_model_prepare(model, PNNG_MODEL_TRAIN, NULL, 0, 0) == PNNG_OK);
    CHECK(pnng_model_find(model, PNNG_SLOT_INPUT, "input") == 0); /* it has no name there */
    CHECK(pnng_model_find(model, PNNG_SLOT_OUTPUT, "output") == 0);
    CHECK(pnng_model_info(model, PNNG_SLOT_OUTPUT, 0, &info) == PNNG_OK && info.count == 4);
    pnng_model_free(model);
    pnng_model_free(NULL);
}

static void test_wrong_calls(void) {
    snprintf(test_where, sizeof test_where, "wrong calls");
    const file f = make_file(linear_model);
    pnng_model *const model = load(&f, NULL);
    pnng_shape shape = shape_of(2, 7, 3);
    double numbers[64];
    CHECK(pnng_model_forward(model, 0) == PNNG_ERROR_ORDER);
    CHECK(pnng_model_backward(model, 1, 3) == PNNG_ERROR_ORDER);
    CHECK(pnng_model_sgd(model, 1, 0, 0) == PNNG_ERROR_ORDER);
    CHECK(pnng_model_adam(model, 1, 0.9, 0.9, 1, 0) == PNNG_ERROR_ORDER);
    CHECK(pnng_model_bind(model, PNNG_SLOT_INPUT, 0, numbers) == PNNG_ERROR_ORDER);
    CHECK(!pnng_model_array(model, PNNG_SLOT_INPUT, 0) && !pnng_model_plan(model));
    CHECK(pnng_model_prepare(model, 2, NULL, 0, 0) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_model_prepare(model, 0, &shape, 2, 0) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_model_prepare(model, 0, &shape, 1, 1 << 20) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_model_prepare(model, PNNG_MODEL_TRAIN, &shape, 1, 0) == PNNG_ERROR_SHAPE);
    CHECK(strstr(pnng_model_error(model), "(7, 3)"));
    CHECK(pnng_model_prepare(model, PNNG_MODEL_EVALUATE, &shape, 1, 0) == PNNG_OK);
    fill_input(model);
    CHECK(pnng_model_forward(model, 0) == PNNG_OK);
    double *const y = array_of(model, PNNG_SLOT_OUTPUT, 0);
    const double before = y[0];
    shape.dim[1] = 4;
    CHECK(pnng_model_prepare(model, PNNG_MODEL_EVALUATE, &shape, 1, 0) == PNNG_ERROR_SHAPE);
    CHECK(array_of(model, PNNG_SLOT_OUTPUT, 0) == y && y[0] == before); /* nothing has changed */
    CHECK(pnng_model_backward(model, 1, 3) == PNNG_ERROR_ORDER);
    CHECK(!pnng_model_array(model, PNNG_SLOT_GRAD_INPUT, 0));
    CHECK(pnng_model_bind(model, PNNG_SLOT_PARAM, 0, numbers) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_model_bind(model, PNNG_SLOT_INPUT, 1, numbers) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_model_bind(model, PNNG_SLOT_INPUT, 0, (char *)numbers + 1) == PNNG_ERROR_ARGUMENT);
    CHECK(pnng_model_bind(model, PNNG_SLOT_INPUT, 0, NULL) == PNNG_OK);
    CHECK(pnng_model_forward(model, 0) == PNNG_ERROR_UNBOUND && *pnng_model_error(model));
    pnng_model_free(model);
    pnng_model *none = NULL;
    CHECK(pnng_model_load_memory(f.bytes, f.count, 2, NULL, &none) == PNNG_ERROR_ARGUMENT);
    pnng_model_free(none);
}

static void test_runs(void) {
    snprintf(test_where, sizeof test_where, "runs");
    const file f = make_file(linear_model);
    pnng_model *const model = load(&f, NULL);
    CHECK(pnng_model_prepare(model, PNNG_MODEL_EVALUATE, NULL, 0, PNNG_PLAN_BACKWARD) == PNNG_OK);
    fill_input(model);
    CHECK(pnng_model_forward(model, 0) == PNNG_OK);
    const double *const y = array_of(model, PNNG_SLOT_OUTPUT, 0);
    CHECK(y[0] == 14.25 && y[1] == 4 && y[2] == 32.25 && y[3] == 14.5);
    double *const g = array_of(model, PNNG_SLOT_GRAD_OUTPUT, 0);
    g[0] = 1, g[1] = 0, g[2] = 2, g[3] = -1;
    for (int k = 0; k < 2; k++) /* gradients of parameters add up */
        CHECK(pnng_model_backward(model, 0.5, PNNG_GRAD_INPUTS | PNNG_GRAD_PARAMS) == PNNG_OK);
    const double *const dw = array_of(model, PNNG_SLOT_GRAD_PARAM, 0);
    const double *const db = array_of(model, PNNG_SLOT_GRAD_PARAM, 1);
    const double *const dx = array_of(model, PNNG_SLOT_GRAD_INPUT, 0);
    CHECK(dw[0] == 9 && dw[1] == 12 && dw[2] == 15 && dw[3] == -4 && dw[5] == -6);
    CHECK(db[0] == 3 && db[1] == -1);
    CHECK(dx[0] == 1 && dx[1] == 2 && dx[2] == 3 && dx[3] == 3 && dx[4] == 3.5 && dx[5] == 2);
    CHECK(!pnng_model_array(model, PNNG_SLOT_GRAD_PARAM, 2)); /* of a buffer */

    /* Steps: sgd as it is written, and adam, whose first step is the rate's, by signs. */
    double *const weight = array_of(model, PNNG_SLOT_PARAM, 0);
    CHECK(pnng_model_sgd(model, 0.5, 0, 0) == PNNG_OK && weight[0] == 1 - 4.5);
    CHECK(pnng_model_sgd(model, 0.5, 0.5, 0) == PNNG_OK && weight[0] == 1 - 9.0);
    CHECK(pnng_model_sgd(model, 0.5, 0.5, 0) == PNNG_OK && weight[0] == 1 - 9 - 0.5 * 13.5);
    const double at = weight[0];
    CHECK(pnng_model_adam(model, 0.125, 0.9, 0.999, 0, 0) == PNNG_OK);
    CHECK(fabs(weight[0] - (at - 0.125)) < 1e-12);
    CHECK(pnng_model_adam(model, 0.125, 0.9, 0.999, 0, 0) == PNNG_OK);
    CHECK(fabs(weight[0] - (at - 0.25)) < 1e-12);
    pnng_model_zero_gradients(model);
    CHECK(dw[0] == 0 && dw[5] == 0 && db[1] == 0);

    /* Another batch, then training: parameters stay, and the buffer is changed. */
    const pnng_shape one = shape_of(2, 1, 3);
    CHECK(pnng_model_prepare(model, PNNG_MODEL_EVALUATE, &one, 1, 0) == PNNG_OK);
    CHECK(array_of(model, PNNG_SLOT_PARAM, 0) == weight);
    double x[] = {1, 0, 0}, out[2];
    CHECK(pnng_model_bind(model, PNNG_SLOT_INPUT, 0, x) == PNNG_OK);
    CHECK(pnng_model_bind(model, PNNG_SLOT_OUTPUT, 0, out) == PNNG_OK);
    const double *const bias = array_of(model, PNNG_SLOT_PARAM, 1);
    const double *const kept = array_of(model, PNNG_SLOT_PARAM, 2);
    CHECK(pnng_model_forward(model, 0) == PNNG_OK && out[0] == weight[0] + bias[0]);
    CHECK(kept[0] == 0);
    CHECK(pnng_model_prepare(model, PNNG_MODEL_TRAIN, NULL, 0, PNNG_PLAN_BACKWARD) == PNNG_OK);
    CHECK(pnng_model_forward(model, 0) == PNNG_OK);
    CHECK(kept[0] == 2 * bias[0] && kept[1] == 2 * bias[1]);

    /* What is saved is a file again, with the new numbers. */
    size_t count;
    const void *const bytes = pnng_model_bytes(model, &count);
    CHECK(count == f.count);
    pnng_model *again = NULL;
    CHECK(pnng_model_load_memory(bytes, count, 0, NULL, &again) == PNNG_OK);
    CHECK(!memcmp(array_of(again, PNNG_SLOT_PARAM, 0), weight, sizeof w));
    CHECK(array_of(again, PNNG_SLOT_PARAM, 2)[1] == kept[1]);
    pnng_model_free(again);
    pnng_model_free(model);
}

static void test_arena(void) {
    snprintf(test_where, sizeof test_where, "an arena of the caller's");
    const file f = make_file(linear_model);
    static _Alignas(64) unsigned char arena[1 << 16];
    pnng_model *const model = load(&f, NULL);
    CHECK(pnng_model_prepare(model, PNNG_MODEL_TRAIN, NULL, 0,
                             PNNG_PLAN_BACKWARD | PNNG_PLAN_NO_ARENA) == PNNG_OK);
    fill_input(model);
    pnng_plan *const plan = pnng_model_plan(model);
    CHECK(pnng_plan_arena_size(plan) > 0 && pnng_plan_arena_size(plan) <= sizeof arena);
    CHECK(pnng_model_forward(model, 0) == PNNG_ERROR_UNBOUND);
    CHECK(pnng_plan_set_arena(plan, arena, sizeof arena) == PNNG_OK);
    CHECK(pnng_model_forward(model, 0) == PNNG_OK);
    CHECK(array_of(model, PNNG_SLOT_OUTPUT, 0)[0] == 14.25);
    pnng_model_free(model);
}

static void test_in_place(void) {
    snprintf(test_where, sizeof test_where, "in place");
    file f = make_file(linear_model);
    pnng_model *model = NULL;
    CHECK(pnng_model_load_memory(f.bytes, f.count, PNNG_MODEL_IN_PLACE, NULL, &model) == PNNG_OK);
    CHECK(pnng_model_array(model, PNNG_SLOT_PARAM, 0) == f.bytes + f.count - 80);
    pnng_model_free(model);
    memmove(f.bytes + 1, f.bytes, f.count);
    CHECK(pnng_model_load_memory(f.bytes + 1, f.count, PNNG_MODEL_IN_PLACE, NULL, &model) ==
          PNNG_ERROR_ARGUMENT);
    CHECK(strstr(pnng_model_error(model), "aligned"));
    pnng_model_free(model);
    CHECK(pnng_model_load_memory(f.bytes + 1, f.count, 0, NULL, &model) == PNNG_OK);
    pnng_model_free(model);
}

#ifndef PNNG_NO_FILE
static void test_paths(void) {
    snprintf(test_where, sizeof test_where, "paths");
    char folder[] = "/tmp/pnng_model_XXXXXX", path[64], link[64], other[128];
    if (!CHECK(mkdtemp(folder) != NULL))
        return;
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    snprintf(other, sizeof other, "%s/none/m.safetensors", folder);
    const file f = make_file(linear_model);
    pnng_model *model = load(&f, NULL), *again = NULL;
    CHECK(pnng_model_save(model, path) == PNNG_OK);
    CHECK(symlink(path, link) == 0);
    array_of(model, PNNG_SLOT_PARAM, 0)[0] = 77;
    CHECK(pnng_model_save(model, link) == PNNG_OK);
    CHECK(pnng_model_load(path, NULL, &again) == PNNG_OK);
    CHECK(array_of(again, PNNG_SLOT_PARAM, 0)[0] == 77);
    CHECK(pnng_model_save(model, other) == PNNG_ERROR_FILE && *pnng_model_error(model));
    pnng_model_free(again);
    CHECK(pnng_model_load(other, NULL, &again) == PNNG_ERROR_FILE);
    CHECK(strstr(pnng_model_error(again), "m.safetensors"));
    CHECK(pnng_model_count(again, PNNG_SLOT_PARAM) == 0);
    CHECK(pnng_model_save(again, path) == PNNG_ERROR_ARGUMENT); /* the file stays as it is */
    pnng_model_free(again);
    CHECK(pnng_model_load(path, NULL, &again) == PNNG_OK);
    pnng_model_free(again);
    CHECK(pnng_model_load(folder, NULL, &again) == PNNG_ERROR_FILE);
    pnng_model_free(again);
    pnng_model_free(model);
    CHECK(unlink(link) == 0 && unlink(path) == 0);
    CHECK(rmdir(folder) == 0); /* nothing else was left there */
}
#else
static void test_paths(void) {}
#endif

/* ---- files that are wrong -------------------------------------------------------------------- */

/* A load that fails so; of bytes that end where memory does. */
static void check_refused(const unsigned char *bytes, size_t count, const char *why) {
    watch watched;
    watch_begin(&watched);
    unsigned char *const exact = malloc(count ? count : 1);
    memcpy(exact, bytes, count);
    pnng_model *model = NULL;
    const pnng_status status = pnng_model_load_memory(exact, count, 0, &watched.allocator, &model);
    if (!CHECK(status == PNNG_ERROR_FORMAT && model) ||
        !CHECK(strstr(pnng_model_error(model), why) &&
               !strncmp(pnng_model_error(model), "at byte ", 8)))
        printf("status %d, wanted '%s', got '%s'\n", (int)status, why,
               model ? pnng_model_error(model) : "");
    if (model) {
        CHECK(pnng_model_prepare(model, 0, NULL, 0, 0) < 0);
        CHECK(pnng_model_forward(model, 0) < 0);
    }
    pnng_model_free(model);
    free(exact);
    CHECK(watched.live == 0 && watched.overruns == 0);
}

static void test_wrong_models(void) {
    static const struct {
        const char *from, *to, *why;
    } cases[] = {
        {"\"version\":1", "\"version\":2", "version 2"},
        {"\"version\":1", "\"version\":0", "no version"},
        {"\"version\":1", "\"version\":\"1\"", "no version"},
        {"\"version\":1", "\"version\":1,\"version\":1", "twice"},
        {"\"programs\":[", "\"nothing\":[", "no program"},
        {"\"mode\":\"evaluate\"", "\"mode\":\"train\"", "more than one"},
        {"\"mode\":\"evaluate\"", "\"mode\":\"fly\"", "no mode"},
        {"\"values\":4", "\"values\":3", "of op 0, linear, is wrong"},
        {"\"values\":4", "\"values\":4000000000", "number of values"},
        {"\"values\":4", "\"values\":-1", "number of values"},
        {"\"values\":4", "\"values\":4.0", "number of values"},
        {"\"array\":\"w\"", "\"array\":\"v\"", "no array 'v'"},
        {"\"array\":\"w\"", "\"array\":7", "no parameter"},
        {"\"value\":1,\"array\"", "\"value\":0,\"array\"", "no parameter"},
        {"\"gradient\":true", "\"gradient\":1", "no parameter"},
        {"\"op\":\"linear\"", "\"op\":\"host\"", "op 0 runs in Python"},
        {"\"op\":\"linear\"", "\"op\":\"lineal\"", "'lineal'"},
        {"\"op\":\"linear\"", "\"op\":null", "no name"},
        {"\"inputs\":[0,1,2]", "\"inputs\":[0]", "linear"},
        {"\"inputs\":[0,1,2]", "\"inputs\":[0,1,3]", "entry 2"},
        {"\"inputs\":[0,1,2]", "\"inputs\":[0,1,-1]", "entry 2"},
        {"\"inputs\":[0,1,2]", "\"inputs\":{}", "no list of inputs"},
        {"\"ints\":[]", "\"ints\":[9223372036854775808]", "entry 0 of the ints"},
        {"\"ints\":[]", "\"ints\":[9223372036854775807]", "integers"},
        {"\"nums\":[2.0]", "\"nums\":[1e999]", "entry 0 of the nums"},
        {"\"nums\":[2.0]", "\"nums\":[{\"float\":\"no\"}]", "entry 0 of the nums"},
        {"\"nums\":[2.0]", "\"nums\":[2.0,1]", "reals"},
        {"\"outputs\":[3]", "\"outputs\":[2]", "entry 0 of the outputs"},
        {"\"outputs\":[3]", "\"outputs\":[3,3]", "entry 1 of the outputs"},
        {"\"outputs\":[3]}],\"updates\":[],\"outputs\":[3]",
         "\"outputs\":[3]}],\"updates\":[],\"outputs\":[4]", "no value"},
        {"\"updates\":[[0,4]]", "\"updates\":[[1,4]]", "not a buffer"},
        {"\"updates\":[[0,4]]", "\"updates\":[[0]]", "no update"},
        {"\"updates\":[[0,4]]", "\"updates\":0", "no list of updates"},
        {"\"shape\":[2,3]", "\"shape\":[2,-3]", "no input"},
        {"\"shape\":[2,3]", "\"shape\":[4611686018427387904,4]", "no input"},
        {"\"shape\":[2,3]", "\"shape\":[1,1,1,1,1,1,1,1,1]", "no input"},
        {"\"kind\":\"real\"", "\"kind\":\"unreal\"", "no input"},
        {"\"cells\":[]", "\"cells\":[}", "in the model"},
        {"\"cells\":[]", "\"cells\":[]]", "in the model"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        snprintf(test_where, sizeof test_where, "a model with %s", cases[k].to);
        const file f = make_file(replaced(linear_model, cases[k].from, cases[k].to));
        check_refused(f.bytes, f.count, cases[k].why);
    }
    /* Attributes may be NaN; and what is not known is not looked at. */
    const char *const fine[][2] = {
        {"\"nums\":[2.0]", "\"nums\":[{\"float\":\"nan\"}]"},
        {"\"nums\":[2.0]", "\"nums\":[2]"},
        {"\"cells\":[]", "\"cells\":[{\"new\":[[[]]]}],\"later\":-0e+1"}};
    for (size_t k = 0; k < sizeof fine / sizeof *fine; k++) {
        const file f = make_file(replaced(linear_model, fine[k][0], fine[k][1]));
        pnng_model_free(load(&f, NULL));
    }
}

/* The place that an error names is the file's, past what is escaped in the metadata. */
static void test_places(void) {
    snprintf(test_where, sizeof test_where, "the place of an error");
    const file f = make_file(replaced(linear_model, "\"linear\"", "\"linea2\""));
    pnng_model *model = NULL;
    CHECK(pnng_model_load_memory(f.bytes, f.count, 0, NULL, &model) == PNNG_ERROR_FORMAT);
    char *text = (char *)f.bytes + 8;
    const char *const at = strstr(text, "{\\\"op\\\":\\\"linea2");
    CHECK(at && strtol(pnng_model_error(model) + 8, NULL, 10) == at - (char *)f.bytes);
    pnng_model_free(model);
}

static void test_wrong_headers(void) {
    static const struct {
        const char *from, *to, *why;
    } cases[] = {
        {"[0,48]", "[0,40]", "does not lie"},
        {"[0,48]", "[8,48]", "does not lie"},
        {"[0,48]", "[0,88]", "does not lie"},
        {"[48,64]", "[40,56]", "one behind another"},
        {"[64,80]", "[64,81]", "does not lie"},
        {"\"b\":{", "\"w\":{", "twice"},
        {"\"shape\":[2]", "\"shape\":2  ", "describes no array"},
        {"\"F64\"", "\"F65\"", "describes no array"},
        {"\"F64\"", "\"I64\"", "cannot be a parameter"},
        {"\"pynngraph\":\"", "\"pynngrapg\":\"", "no model"},
        {"\"dtype\"", "\"dtypo\"", "describes no array"},
        {"{\"__m", "[\"__m", "neither a comma"},
        {"__metadata__",
         "__\xff\xff"
         "xxdata__",
         "UTF-8"},
    };
    const file good = make_file(linear_model);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        snprintf(test_where, sizeof test_where, "a header with %s", cases[k].to);
        file f = good;
        char *const at = strstr((char *)f.bytes + 8, cases[k].from);
        if (CHECK(at && strlen(cases[k].from) == strlen(cases[k].to)))
            memcpy(at, cases[k].to, strlen(cases[k].to));
        check_refused(f.bytes, f.count, cases[k].why);
    }
    for (size_t count = 0; count < good.count; count++) {
        snprintf(test_where, sizeof test_where, "the first %zu bytes", count);
        check_refused(good.bytes, count, "");
    }
    snprintf(test_where, sizeof test_where, "a byte too many");
    check_refused(good.bytes, good.count + 1, "the file does not");
    file f = good;
    memset(f.bytes, 0xff, 8);
    check_refused(f.bytes, f.count, "header");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static bool parses(const char *text, size_t length) {
    watch watched;
    watch_begin(&watched);
    char *const copy = malloc(length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    pnng_json json = {.allocator = &watched.allocator, .text = copy, .length = length};
    const bool right = pnng_json_parse(&json) == PNNG_OK;
    CHECK(right || (json.wrong && json.place <= length));
    pnng_release(&watched.allocator, json.token);
    free(copy);
    CHECK(watched.live == 0 && watched.overruns == 0);
    return right;
}

static void test_json(void) {
    const char *const right[] = {"null",
                                 " [ ] ",
                                 "{}",
                                 "[1,-2,0,-0,1.5,1e5,1E-5,0.0]",
                                 "{\"a\":{\"b\":[true,false]}}",
                                 "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00\"",
                                 "\t\r\n1"};
    const char *const wrong[] = {"",
                                 "[",
                                 "]",
                                 "[1,]",
                                 "[,1]",
                                 "{\"a\"}",
                                 "{\"a\":}",
                                 "{a:1}",
                                 "01",
                                 "-",
                                 "1.",
                                 ".5",
                                 "1e",
                                 "+1",
                                 "nul",
                                 "True",
                                 "NaN",
                                 "Infinity",
                                 "[1 2]",
                                 "\"\\x\"",
                                 "\"a",
                                 "\"\n\"",
                                 "1 1",
                                 "[1]]",
                                 "{\"a\":1,}",
                                 "\"\\ud83d\"",
                                 "\"\\ude00\"",
                                 "\"\\u0000\"",
                                 "[}",
                                 "{]",
                                 "\"\\u12g4\"",
                                 "{\"a\":1,\"a\":2}",
                                 "{1:2}",
                                 "\"\\ud83dx\\ude00\""};
    for (size_t k = 0; k < sizeof right / sizeof *right; k++) {
        snprintf(test_where, sizeof test_where, "%s", right[k]);
        CHECK(parses(right[k], strlen(right[k])));
    }
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        snprintf(test_where, sizeof test_where, "%s", wrong[k]);
        CHECK(!parses(wrong[k], strlen(wrong[k])));
    }
    snprintf(test_where, sizeof test_where, "depth");
    static char deep[1 << 20];
    memset(deep, '[', sizeof deep);
    CHECK(!parses(deep, sizeof deep));
    memset(deep + PNNG_JSON_MAX_DEPTH, ']', PNNG_JSON_MAX_DEPTH);
    CHECK(parses(deep, 2 * PNNG_JSON_MAX_DEPTH));
    snprintf(test_where, sizeof test_where, "texts and numbers");
    char text[] = "[\"a\\ud83d\\ude00\\u00e9\", -9223372036854775808, 9223372036854775807, 1e-05]";
    pnng_json json = {
        .allocator = &pnng_default_allocator, .text = text, .length = sizeof text - 1};
    int64_t number = 0;
    double real = 0;
    CHECK(pnng_json_parse(&json) == PNNG_OK && json.token[0].count == 4);
    CHECK(!strcmp(pnng_json_text(&json, 1), "a\xf0\x9f\x98\x80\xc3\xa9"));
    CHECK(pnng_json_int(&json, 2, &number) && number == INT64_MIN);
    CHECK(pnng_json_int(&json, 3, &number) && number == INT64_MAX);
    CHECK(pnng_json_real(&json, 4, &real) && real == 1e-05 && !pnng_json_int(&json, 4, &number));
    pnng_release(&pnng_default_allocator, json.token);
    const char *const not_utf8[] = {"\x80",
                                    "\xc0\x80",
                                    "\xc3",
                                    "\xe0\x80\x80",
                                    "\xed\xa0\x80",
                                    "\xf0\x80\x80\x80",
                                    "\xf5\x80\x80\x80",
                                    "\xf4\x90\x80\x80",
                                    "a\xe2\x82"};
    for (size_t k = 0; k < sizeof not_utf8 / sizeof *not_utf8; k++)
        CHECK(!pnng_json_is_utf8((const unsigned char *)not_utf8[k], strlen(not_utf8[k])));
    CHECK(pnng_json_is_utf8((const unsigned char *)"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
}

/* ---- memory that runs out -------------------------------------------------------------------- */

/* Load, prepare, run and step; false: something has failed. */
static bool live_through(const file *f, watch *watched) {
    pnng_model *model = NULL;
    pnng_status status = pnng_model_load_memory(f->bytes, f->count, 0, &watched->allocator, &model);
    CHECK((status == PNNG_ERROR_MEMORY) == (model == NULL));
    for (int32_t mode = 0; mode < 2 && !status; mode++) {
        status = pnng_model_prepare(model, mode, NULL, 0, PNNG_PLAN_BACKWARD);
        if (status)
            break;
        fill_input(model);
        const long calls = watched->calls;
        CHECK(pnng_model_forward(model, 0) == PNNG_OK);
        CHECK(pnng_model_backward(model, 1, 3) == PNNG_OK);
        CHECK(watched->calls == calls); /* runs take nothing */
        CHECK(array_of(model, PNNG_SLOT_OUTPUT, 0)[0] == 14.25);
        CHECK(pnng_model_sgd(model, 0, 0, 0) == PNNG_OK);
        CHECK(watched->calls == calls); /* nor does a step that keeps nothing */
    }
    if (!status)
        status = pnng_model_sgd(model, 0, 0.5, 0);
    if (!status)
        status = pnng_model_adam(model, 0, 0.9, 0.999, 1, 0);
    if (!status) {
        const long calls = watched->calls;
        CHECK(pnng_model_adam(model, 0, 0.9, 0.999, 1, 0) == PNNG_OK && watched->calls == calls);
    }
    CHECK(status == PNNG_OK || status == PNNG_ERROR_MEMORY);
    if (status && model)
        CHECK(strstr(pnng_model_error(model), "memory"));
    pnng_model_free(model);
    CHECK(watched->live == 0 && watched->overruns == 0);
    return status == PNNG_OK;
}

static void test_failing_allocator(void) {
    const file f = make_file(linear_model);
    long k = 1;
    for (bool done = false; !done && k < 10000; k++) {
        snprintf(test_where, sizeof test_where, "failing at call %ld", k);
        watch watched;
        watch_begin(&watched);
        watched.fail_at = k;
        done = live_through(&f, &watched);
        CHECK(done != watched.failed);
    }
    CHECK(k > 50 && k < 10000);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* a crash must not swallow what came before */
    test_json();
    test_names();
    test_wrong_calls();
    test_runs();
    test_arena();
    test_in_place();
    test_paths();
    test_places();
    test_wrong_models();
    test_wrong_headers();
    test_failing_allocator();
    return test_result();
}
