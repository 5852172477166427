// Run a saved net of float32 on ones, by the wrapper in model.hpp.
//
//     c++ -std=c++17 infer.cpp $(pkg-config --cflags --libs --static pynngraph) -o infer
//     ./infer net.safetensors
#include <algorithm>
#include <iostream>

#include "model.hpp"

int main(int argc, char **argv) try {
    if (argc != 2)
        throw std::runtime_error("usage: infer MODEL");
    Model model(argv[1]);
    model.prepare(2);
    if (pnng_model_dtype(model.get()) != PNNG_F32)
        throw std::runtime_error("the net is not of float32");
    std::fill_n(model.array<float>(PNNG_SLOT_INPUT), model.info(PNNG_SLOT_INPUT, 0).count, 1.0f);
    model.forward();
    const float *const y = model.array<float>(PNNG_SLOT_OUTPUT);
    for (std::size_t k = 0; k < model.info(PNNG_SLOT_OUTPUT, 0).count; k++)
        std::cout << y[k] << '\n';
    return 0;
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
