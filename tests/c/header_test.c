/* The public header needs nothing before it, and reads as C11 and as C++. */
#include "pynngraph.h"

int main(void) {
    const pnng_shape shape = {2, {3, 4}};
    const char *(*const version)(void) = pnng_version; /* the name links, from both languages */
    return shape.ndim <= PNNG_MAX_DIMS && version()[0] != '\0' ? 0 : 1;
}
