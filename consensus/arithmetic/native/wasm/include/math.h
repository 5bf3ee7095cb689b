/* f32.nearest rounds half to even, as the processor's default mode does elsewhere. */
static inline long long llrintf(float x) { return (long long)__builtin_rintf(x); }
