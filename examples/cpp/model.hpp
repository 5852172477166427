// A model of pynngraph as an object of C++17: it is freed at its end, and failures are exceptions.
#pragma once
#include <memory>
#include <stdexcept>
#include <string>

#include "pynngraph.h"

class Model {
  public:
    explicit Model(const std::string &path) {
        pnng_model *raw = nullptr;
        const pnng_status status = pnng_model_load(path.c_str(), nullptr, &raw);
        model_.reset(raw);
        check(status);
    }
    // Make ready for batches of `batch` samples.
    void prepare(std::int64_t batch, std::int32_t mode = PNNG_MODEL_EVALUATE, std::int32_t flags = 0) {
        pnng_shape shape = info(PNNG_SLOT_INPUT, 0).shape;
        shape.dim[0] = batch;
        check(pnng_model_prepare(model_.get(), mode, &shape, 1, flags));
    }
    pnng_array_info info(std::int32_t group, std::size_t index) const {
        pnng_array_info out{};
        check(pnng_model_info(model_.get(), group, index, &out));
        return out;
    }
    template <class Real> Real *array(std::int32_t group, std::size_t index = 0) const {
        return static_cast<Real *>(pnng_model_array(model_.get(), group, index));
    }
    void forward(std::uint64_t seed = 0) { check(pnng_model_forward(model_.get(), seed)); }
    void backward() { check(pnng_model_backward(model_.get(), 1, PNNG_GRAD_PARAMS)); }
    pnng_model *get() const { return model_.get(); }

  private:
    void check(pnng_status status) const {
        if (status != PNNG_OK)
            throw std::runtime_error(model_ ? pnng_model_error(model_.get()) : "out of memory");
    }
    struct Free {
        void operator()(pnng_model *model) const { pnng_model_free(model); }
    };
    std::unique_ptr<pnng_model, Free> model_;
};
