/* Convolutions over tables of kernels: which way one is made, and the loops around the kernels. */
#ifndef PNNG_CONVOLUTION_H
#define PNNG_CONVOLUTION_H

#include "gemm.h"

/* x is what windows slide over, y has an element for each place of them. A convolution makes y of
 * x; the gradient of x, which is also a full convolution, makes x of y. */
typedef enum pnng_convolution_kind {
    PNNG_CONVOLVE_Y,     /* y = x * w [+ bias of each plane] */
    PNNG_CONVOLVE_X,     /* x = what each element of y adds to its window [+ bias] */
    PNNG_CONVOLVE_WEIGHT /* w += alpha times the products of y with its windows */
} pnng_convolution_kind;

enum { PNNG_SPACE = 3 }; /* dims of a plane, the last one along memory; 1 where there are fewer */

/* All of a convolution that is known before it is made. Planes are contiguous and lie one after
 * another. The weight is (groups * outs, ins, kernel), contiguous. */
typedef struct pnng_convolution {
    pnng_convolution_kind kind;
    size_t element;                      /* bytes of a real */
    size_t batch, groups, ins, outs;     /* ins, outs: planes of x and of y, of one group */
    size_t x[PNNG_SPACE], y[PNNG_SPACE]; /* sizes of a plane */
    size_t kernel[PNNG_SPACE], stride[PNNG_SPACE], dilation[PNNG_SPACE];
    ptrdiff_t padding[PNNG_SPACE];
    ptrdiff_t x_sample, y_sample; /* elements from one sample to the next */
    bool mirrored;                /* the kernel is applied from its end to its beginning */
} pnng_convolution;

/* How it is made. */
typedef struct pnng_convolution_method {
    pnng_convolution asked;
    pnng_convolution c; /* or another one that gives the same */
    bool turned;        /* whose x is what was called y */
    enum { PNNG_CONVOLVE_TILES, PNNG_CONVOLVE_PLANES } way;

    /* Products of tiles, or plane by plane. */
    size_t taps;              /* elements of a window in one plane */
    bool as_it_lies;          /* windows of one element: x is read where it is */
    bool pack_weight;         /* y */
    bool turns_lines;         /* weight: lines are turned for the product, else its sums at last */
    bool gathers;             /* y: sums of small planes lie together, samples after each other, */
    size_t together;          /* and so many samples are made at once */
    size_t channels;          /* planes of x that are worked on at once, of a group */
    size_t lines, rows;       /* weight: lines of x and planes of y that are */
    size_t box[PNNG_SPACE];   /* places that are, at most */
    size_t boxes[PNNG_SPACE]; /* and how many such boxes there are */

    /* What is copied of a plane: pnng_plane_copy in kernels.h. */
    size_t seen[PNNG_SPACE], phases, pitch;

    size_t units, slices;    /* that may be made alone; rows of y are cut into so many */
    size_t parts, part_work; /* groups of units for threads; bytes of work space for each: */
    size_t tap_bytes, copy_bytes, panel_bytes, sums_bytes; /* sums are at the end of the panel */
    uint64_t nanoseconds;                                  /* that one thread takes, about */
} pnng_convolution_method;

typedef struct pnng_convolution_arrays {
    void *x, *y, *weight; /* the one that is made is written */
    const void *bias;     /* or NULL */
} pnng_convolution_arrays;

pnng_convolution_method pnng_convolution_choose(const pnng_kernels *kernels,
                                                const pnng_convolution *convolution);

/* What it multiplies, padding too. */
uint64_t pnng_convolution_multiply_adds(const pnng_convolution *convolution);

/* Elements of what is made, if its samples follow each other without gaps; else 0. */
size_t pnng_convolution_dense_size(const pnng_convolution *convolution);

/* Bytes of work space, aligned to 64. */
size_t pnng_convolution_work_size(const pnng_convolution_method *method);

/* Make it, or add it to what is there, then the finish, unless NULL: of that, strides do not count,
 * all operands lie as what is made, without gaps. The result is the same, bit for bit, whatever
 * threads make it. */
void pnng_convolve(const pnng_kernels *kernels, const pnng_convolution_method *method,
                   const pnng_convolution_arrays *arrays, double alpha, bool accumulate, void *work,
                   const pnng_finish *finish);

#endif
