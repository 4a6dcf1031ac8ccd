/* Integers and scales of the quantised encodings, sixteen rows side by side.  Each lane is a row and
 * sums alone, so that every instruction set gives the same numbers. */
#include "quantise.h"
#include "half.h"
#include <math.h>

/* The same bytes from every compiler and processor. */
#pragma STDC FP_CONTRACT OFF

/* Where the search for a group's scale goes.  Values become integers q in `least` ... `most`. */
typedef struct {
  int group, is_affine;
  float least, most;
  /* The integer that plain rounding makes of the extreme value: `most`, or `least` where scales may
   * be negative.  Affine: plain rounding makes the extreme values 0 and `most`. */
  float extreme;
  /* The scales tried: the largest magnitude of the group becomes the integer `first + i * step` for
   * i in 0 ..< count, or minus that.  Affine: the range of the values is that of the integers over
   * `first + i * step`, and lies in it at four places. */
  float first, step;
  int count;
} search_space;

/* 4 and 6 bits: the extreme value may become -8 or -32, whatever its sign, since scales may be
 * negative; or lie beyond the range, which can be better for the others.  8 bits leave little to
 * search. */
static const search_space Q8 = {32, 0, -127, 127, 127, 125.2f, 0.3f, 16};
static const search_space Q4 = {32, 0, -8, 7, -8, 5.0f, 0.125f, 48};
static const search_space Q4A = {32, 1, 0, 15, 0, 0.9f, 0.04f, 16};
static const search_space Q5A = {32, 1, 0, 31, 0, 0.92f, 0.02f, 16};
static const search_space Q6 = {16, 0, -32, 31, -32, 28.0f, 0.25f, 32};

/* The largest finite f16. */
static const float F16_MAX = 65504.0f;

/* Adding 1.5 * 2^23 and taking it away rounds to the nearest integer, ties to even. */
static const float ROUNDER = 12582912.0f;

typedef float lanes __attribute__((ext_vector_type(VTW_LANES)));
typedef int32_t masks __attribute__((ext_vector_type(VTW_LANES)));

/* What becomes of sixteen groups: integers, f16 bits, and sum w (x - what they stand for)^2. */
typedef struct {
  lanes q[VTW_GROUP], error;
  masks scale, minimum;
} candidate;

#define INLINE static inline __attribute__((always_inline))

/* vtw_f16_of_f32 and vtw_f32_of_f16 of half.h, lane by lane. */
INLINE void to_half(const lanes *x, masks *half) {
  masks bits = (masks)*x, rest = bits & 0x7fffffff, sign = bits >> 16 & 0x8000;
  masks normal = (rest + 0xfff + (rest >> 13 & 1)) >> 13;
  masks tiny = (masks)((lanes)rest + 0.5f) - 0x3f000000;
  *half = rest > 0x7f800000    ? 0x7e00
          : rest >= 0x477ff000 ? 0x7c00
          : rest < 0x38800000  ? tiny
                               : normal - (112 << 10);
  *half |= sign;
}

INLINE void of_half(const masks *half, lanes *x) {
  masks sign = (*half & 0x8000) << 16, rest = *half & 0x7fff;
  lanes finite = (lanes)(rest << 13) * 0x1p112f;
  masks bits = rest >= 0x7c00 ? 0x7f800000 | (rest & 0x3ff) << 13 : (masks)finite;
  *x = (lanes)(bits | sign);
}

INLINE void round_within(lanes *q, const search_space *s) {
  *q = *q < s->least ? s->least : *q;
  *q = *q > s->most ? s->most : *q;
  *q = (*q + ROUNDER) - ROUNDER;
}


/* The integers nearest to x for the f16 nearest to `scale`, and what they leave: sum w (x - d q)^2. */
INLINE void round_symmetric(const search_space *s, const lanes *x, const float *w,
                                  const lanes *scale, candidate *out) {
  lanes d = *scale;
  d = d > F16_MAX ? F16_MAX : d;
  d = d < -F16_MAX ? -F16_MAX : d;
  to_half(&d, &out->scale);
  /* Keep what the smallest f16 can express. */
  out->scale |= ((out->scale & 0x7fff) == 0) & 1;
  of_half(&out->scale, &d);
  lanes error = {0};
  for (int i = 0; i < s->group; i++) {
    lanes q = x[i] / d;
    round_within(&q, s);
    lanes left = x[i] - d * q;
    error += w[i] * left * left;
    out->q[i] = q;
  }
  out->error = error;
}

/* The scales whose integers, with the scale that fits them best, leave the least squared error:
 * sum w x^2 - (sum w x q)^2 / sum w q^2. */
INLINE void scan_symmetric(const search_space *s, const lanes *x, const float *w, lanes *scale) {
  lanes best_xq = {0}, best_qq = {0};
  best_qq += 1;
  for (int i = 0; i < 2 * s->count; i++) {
    /* Scales of both signs, unless the range is as long on both sides. */
    if (i >= s->count && s->least == -s->most) break;
    float inverse = s->first + s->step * (float)(i % s->count);
    if (i >= s->count) inverse = -inverse;
    lanes xq = {0}, qq = {0};
    for (int c = 0; c < s->group; c++) {
      lanes q = x[c] * inverse;
      round_within(&q, s);
      lanes wq = w[c] * q;
      xq += x[c] * wq;
      qq += q * wq;
    }
    masks better = (qq > 0) & (xq * xq * best_qq > best_xq * best_xq * qq);
    best_xq = better ? xq : best_xq;
    best_qq = better ? qq : best_qq;
  }
  *scale = best_xq / best_qq;
}

INLINE void search_symmetric(const search_space *s, const lanes *values, const float *w,
                                   candidate *out) {
  lanes largest = {0}, extreme = {0};
  for (int i = 0; i < s->group; i++) {
    lanes magnitude = values[i] < 0 ? -values[i] : values[i];
    masks more = magnitude > largest;
    largest = more ? magnitude : largest;
    extreme = more ? values[i] : extreme;
  }
  lanes scale = extreme / s->extreme;
  round_symmetric(s, values, w, &scale, out);

  /* In units of the largest: no square overflows or vanishes. */
  lanes x[VTW_GROUP], unit = largest > 0 ? largest : 1;
  for (int i = 0; i < s->group; i++) x[i] = values[i] / unit;
  scan_symmetric(s, x, w, &scale);
  /* Integers and scale in turn, each the best for the other. */
  for (int turn = 0; turn < 2; turn++) {
    lanes xq = {0}, qq = {0}, inverse = 1 / scale;
    for (int i = 0; i < s->group; i++) {
      lanes q = x[i] * inverse;
      round_within(&q, s);
      xq += w[i] * x[i] * q;
      qq += w[i] * q * q;
    }
    scale = qq > 0 ? xq / qq : scale;
  }
  candidate searched;
  scale *= largest;
  round_symmetric(s, values, w, &scale, &searched);
  /* Below half of the smallest f16 there is nothing to keep but zero. */
  masks empty = largest < 0x1p-25f, better = searched.error < out->error;
  out->scale = empty ? 0 : better ? searched.scale : out->scale;
  for (int i = 0; i < s->group; i++) out->q[i] = empty ? 0 : better ? searched.q[i] : out->q[i];
}

/* d u + m for the f16 nearest to the given numbers, and the integers nearest to x. */
INLINE void round_affine(const search_space *s, const lanes *x, const float *w,
                               const lanes *scale, const lanes *minimum, candidate *out) {
  lanes d, m;
  to_half(scale, &out->scale);
  to_half(minimum, &out->minimum);
  of_half(&out->scale, &d);
  of_half(&out->minimum, &m);
  lanes error = {0}, divisor = d == 0 ? 1 : d;
  for (int i = 0; i < s->group; i++) {
    lanes q = (x[i] - m) / divisor;
    round_within(&q, s);
    q = d == 0 ? 0 : q;
    lanes left = x[i] - (d * q + m);
    error += w[i] * left * left;
    out->q[i] = q;
  }
  out->error = error;
}

/* The same for integers that are known: their minimum is the best for the rounded scale, or, counted
 * from the other end, their maximum, whichever f16 holds better. */
INLINE void fit_affine(const search_space *s, const lanes *x, const float *w, float weight,
                             const lanes *q, const lanes *scale, candidate *out) {
  lanes none = {0};
  out->error = none + INFINITY;
  for (int end = 0; end < 2; end++) {
    lanes d = end ? -*scale : *scale, m = {0};
    masks half;
    to_half(&d, &half);
    of_half(&half, &d);
    for (int i = 0; i < s->group; i++) m += w[i] * (x[i] - d * (end ? s->most - q[i] : q[i]));
    m /= weight;
    candidate found;
    round_affine(s, x, w, &d, &m, &found);
    masks better = found.error < out->error;
    out->error = better ? found.error : out->error;
    out->scale = better ? found.scale : out->scale;
    out->minimum = better ? found.minimum : out->minimum;
    for (int i = 0; i < s->group; i++) out->q[i] = better ? found.q[i] : out->q[i];
  }
}

/* The slope of the straight line through integers and values, and where it starts. */
INLINE void line(const lanes *xq, const lanes *qq, const lanes *sum, const lanes *x_sum,
                       float weight, lanes *slope, lanes *start) {
  lanes along = *xq - *x_sum * *sum / weight, spread = *qq - *sum * *sum / weight;
  masks some = (spread > 0) & (along > 0);
  *slope = some ? along / spread : 0;
  *start = (*x_sum - *slope * *sum) / weight;
}

INLINE void search_affine(const search_space *s, const lanes *values, const float *w,
                                candidate *out) {
  lanes low = values[0], high = values[0];
  float weight = 0;
  for (int i = 0; i < s->group; i++) {
    low = values[i] < low ? values[i] : low;
    high = values[i] > high ? values[i] : high;
    weight += w[i];
  }
  lanes scale = (high - low) / s->most;
  round_affine(s, values, w, &scale, &low, out);

  /* -1 ... 1: no square overflows or vanishes. */
  lanes x[VTW_GROUP], x_sum = {0}, middle = low / 2 + high / 2, half = high / 2 - low / 2;
  lanes unit = half > 0 ? half : 1;
  for (int i = 0; i < s->group; i++) {
    x[i] = (values[i] - middle) / unit;
    x_sum += w[i] * x[i];
  }
  lanes best_gain = {0}, slope = {0}, start = {0};
  best_gain -= 1;
  for (int i = 0; i < s->count; i++)
    for (int phase = 0; phase < 4; phase++) {
      float inverse = (s->first + s->step * (float)i) * s->most / 2;
      float offset = s->most / 2 + 0.25f * (float)phase - 0.375f;
      lanes xq = {0}, qq = {0}, sum = {0};
      for (int c = 0; c < s->group; c++) {
        lanes q = x[c] * inverse + offset;
        round_within(&q, s);
        lanes wq = w[c] * q;
        sum += wq;
        xq += x[c] * wq;
        qq += q * wq;
      }
      lanes along = xq - x_sum * sum / weight, spread = qq - sum * sum / weight;
      lanes gain = spread > 0 ? along * along / spread : 0, next, from;
      line(&xq, &qq, &sum, &x_sum, weight, &next, &from);
      masks better = (next > 0) & (gain > best_gain);
      best_gain = better ? gain : best_gain;
      slope = better ? next : slope;
      start = better ? from : start;
    }
  lanes q[VTW_GROUP];
  for (int turn = 0; turn < 2; turn++) {
    lanes xq = {0}, qq = {0}, sum = {0}, divisor = slope > 0 ? slope : 1, next, from;
    for (int i = 0; i < s->group; i++) {
      q[i] = (x[i] - start) / divisor;
      round_within(&q[i], s);
      lanes wq = w[i] * q[i];
      sum += wq;
      xq += x[i] * wq;
      qq += q[i] * wq;
    }
    line(&xq, &qq, &sum, &x_sum, weight, &next, &from);
    start = next > 0 ? from : start;
    slope = next > 0 ? next : slope;
  }
  candidate searched;
  scale = slope * half;
  fit_affine(s, values, w, weight, q, &scale, &searched);
  masks better = searched.error < out->error;
  out->scale = better ? searched.scale : out->scale;
  out->minimum = better ? searched.minimum : out->minimum;
  for (int i = 0; i < s->group; i++) out->q[i] = better ? searched.q[i] : out->q[i];
}

INLINE void search_group(const search_space *s, const lanes *values, const float *w,
                                candidate *out) {
  if (s->is_affine) search_affine(s, values, w, out);
  else search_symmetric(s, values, w, out);
}

/* Integers that are there already: value = scale * q (+ minimum).  Numbers that f16 holds stay. */
INLINE void keep_group(const search_space *s, const lanes *q, const lanes *scale,
                              const lanes *minimum, candidate *out) {
  masks half, low = {0};
  lanes d, m = {0};
  to_half(scale, &half);
  of_half(&half, &d);
  if (s->is_affine) {
    to_half(minimum, &low);
    of_half(&low, &m);
    lanes x[VTW_GROUP];
    float equal[VTW_GROUP];
    for (int i = 0; i < s->group; i++) {
      x[i] = *scale * q[i] + *minimum;
      equal[i] = 1;
    }
    fit_affine(s, x, equal, (float)s->group, q, scale, out);
    masks exact = (d == *scale) & (m == *minimum);
    out->scale = exact ? half : out->scale;
    out->minimum = exact ? low : out->minimum;
    for (int i = 0; i < s->group; i++) out->q[i] = exact ? q[i] : out->q[i];
  } else {
    out->scale = half;
    for (int i = 0; i < s->group; i++) out->q[i] = q[i];
  }
}

/* ---- lanes from and to memory ---- */

INLINE void load_lanes(const float *x, lanes *out) { memcpy(out, x, sizeof *out); }

INLINE void store_group(const search_space *s, const candidate *found, vtw_quantised *out) {
  for (int i = 0; i < s->group; i++) {
    masks q = __builtin_convertvector(found->q[i], masks);
    memcpy(out->q[i], &q, sizeof q);
  }
  memcpy(out->scale, &found->scale, sizeof out->scale);
  if (s->is_affine) memcpy(out->minimum, &found->minimum, sizeof out->minimum);
}

INLINE void search_lanes(const search_space *s, const float (*values)[VTW_LANES], const float *w,
                         vtw_quantised *out) {
  lanes x[VTW_GROUP];
  candidate found;
  for (int i = 0; i < s->group; i++) load_lanes(values[i], &x[i]);
  search_group(s, x, w, &found);
  store_group(s, &found, out);
}

INLINE void keep_lanes(const search_space *s, const float (*integers)[VTW_LANES],
                       const float *scales, const float *minima, vtw_quantised *out) {
  lanes q[VTW_GROUP], scale, minimum = {0};
  candidate found;
  for (int i = 0; i < s->group; i++) load_lanes(integers[i], &q[i]);
  load_lanes(scales, &scale);
  if (s->is_affine) load_lanes(minima, &minimum);
  keep_group(s, q, &scale, &minimum, &found);
  store_group(s, &found, out);
}

/* Calls BODY with the space of an encoding as a constant. */
#define FOR_ENCODING(encoding, BODY)                                                      \
  switch (encoding) {                                                                     \
  case VTW_Q4: BODY(&Q4); break;                                                          \
  case VTW_Q4A: BODY(&Q4A); break;                                                        \
  case VTW_Q5A: BODY(&Q5A); break;                                                        \
  case VTW_Q6: BODY(&Q6); break;                                                          \
  default: BODY(&Q8); break;                                                              \
  }
#define SEARCH(space) search_lanes(space, values, weights, out)
#define KEEP(space) keep_lanes(space, integers, scales, minima, out)

#define DEFINE(NAME, TARGET)                                                              \
  TARGET static void search_##NAME(vtw_encoding encoding, const float (*values)[VTW_LANES], \
                                   const float *weights, vtw_quantised *out) {            \
    FOR_ENCODING(encoding, SEARCH)                                                        \
  }                                                                                       \
  TARGET static void keep_##NAME(vtw_encoding encoding, const float (*integers)[VTW_LANES], \
                                 const float *scales, const float *minima,                \
                                 vtw_quantised *out) {                                    \
    FOR_ENCODING(encoding, KEEP)                                                          \
  }

DEFINE(generic, )
#if defined(__x86_64__)
DEFINE(avx2, __attribute__((target("avx2"))))
DEFINE(avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"))))
#endif

vtw_quantiser vtw_best_quantiser(void) {
#if defined(__x86_64__)
  if (vtw_supports(VTW_AVX512)) return (vtw_quantiser){search_avx512, keep_avx512};
  if (vtw_supports(VTW_AVX2)) return (vtw_quantiser){search_avx2, keep_avx2};
#endif
  return (vtw_quantiser){search_generic, keep_generic};
}
