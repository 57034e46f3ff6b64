// The level's functions, in one table.

#include "vector.h"

void LEVELLED(norm)(const float *, const float *, int64_t, float, float *);
void LEVELLED(swiglu)(const float *, int64_t, float, float, float *);
void LEVELLED(perturb)(const float *, int64_t, int64_t, uint64_t, float, float *);
float LEVELLED(weigh)(const float *, int64_t, float, float);
float LEVELLED(enclose)(const float *, const float *, int64_t, const float *, const float *, struct margin, float *);
void LEVELLED(rotate)(float *, const float *, int64_t);
void LEVELLED(add_bias)(const uint16_t *, int64_t, float *);
void LEVELLED(add_scaled)(const float *, float, int64_t, float *);
void LEVELLED(split)(const float *, int64_t, float *);
int64_t LEVELLED(planes_bytes)(int64_t);
struct planes LEVELLED(to_planes)(const float *, int64_t, int8_t *);
struct whole LEVELLED(to_whole)(const float *, int64_t, int8_t *);
void LEVELLED(pack)(const float *, int64_t, void *);
void LEVELLED(pack_expert)(const float *, int64_t, void *);
void LEVELLED(dense_rows)(const struct dense *, int64_t, int64_t, const float *const *, int64_t, float *, int64_t);
void LEVELLED(int8_rows)(const struct dense *, int64_t, int64_t, const struct whole *, int64_t, float *, int64_t);
void LEVELLED(expert_rows)(const struct experts *, int64_t, int64_t, int64_t, const struct planes *, int64_t,
                           float *, int64_t);
void LEVELLED(dense_panel)(const struct dense *, int64_t, void *);
void LEVELLED(expert_panel)(const struct experts *, int64_t, int64_t, void *);
void LEVELLED(pack_quick)(const float *, int64_t, void *);
void LEVELLED(quick_panel)(const struct experts *, int64_t, int64_t, void *);
void LEVELLED(multiply)(const void *, int64_t, const void *const *, int64_t, float *, const char *,
                        int64_t);
void LEVELLED(multiply_expert)(const void *, int64_t, const void *const *, int64_t, float *, const char *, int64_t);
void LEVELLED(multiply_quick)(const void *, int64_t, const void *const *, int64_t, float *, const char *, int64_t);
void LEVELLED(attend)(struct memory, int64_t, int64_t, int64_t, const float *, int64_t, float *, float *, float *);
void LEVELLED(attend_many)(struct memory, int64_t, struct query *, int64_t);
extern const int64_t LEVELLED(most_queries);
extern const int LEVELLED(reads_packed);
extern const int64_t LEVELLED(panel_rows), LEVELLED(tile_tokens), LEVELLED(packed_bytes);

#define TEXT(level) #level
#define NAMED(level) TEXT(level)

void LEVELLED(fill)(struct level *level) {
    *level = (struct level){
        .name = NAMED(LEVEL),
        .panel = LEVELLED(panel_rows),
        .tile = LEVELLED(tile_tokens),
        .reads_packed = LEVELLED(reads_packed),
        .packed_bytes = LEVELLED(packed_bytes),
        .norm = LEVELLED(norm),
        .swiglu = LEVELLED(swiglu),
        .rotate = LEVELLED(rotate),
        .add_bias = LEVELLED(add_bias),
        .add_scaled = LEVELLED(add_scaled),
        .perturb = LEVELLED(perturb),
        .weigh = LEVELLED(weigh),
        .enclose = LEVELLED(enclose),
        .split = LEVELLED(split),
        .planes_bytes = LEVELLED(planes_bytes),
        .to_planes = LEVELLED(to_planes),
        .to_whole = LEVELLED(to_whole),
        .pack = LEVELLED(pack),
        .dense_rows = LEVELLED(dense_rows),
        .int8_rows = LEVELLED(int8_rows),
        .expert_rows = LEVELLED(expert_rows),
        .dense_panel = LEVELLED(dense_panel),
        .multiply = LEVELLED(multiply),
        .experts = {LEVELLED(pack_expert), LEVELLED(expert_panel), LEVELLED(multiply_expert)},
#if defined(__AVX512VNNI__)
        .quick_experts = {LEVELLED(pack_quick), LEVELLED(quick_panel), LEVELLED(multiply_quick)},
#endif
        .attend = LEVELLED(attend),
#if defined(__AVX512BF16__)
        .attend_many = LEVELLED(attend_many),
        .most_queries = LEVELLED(most_queries),
#endif
    };
}
