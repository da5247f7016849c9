// How glibc's allocator must be set for a process that runs an engine. Left alone it returns every large tensor to the kernel and
// takes fresh pages, zeroed one by one, at the next step; and a worker thread's own arena cannot hold blocks of that size at all.

/**
 * Environment of a process that runs an engine, to be set before it starts (a running process cannot change it). Elsewhere than on
 * Linux with glibc it has no effect. Updating 80 MB of parameters in a worker thread took 37 ms with it, 63 ms without
 * (`node bench/engine.mjs`, two busy cores), at the same peak of memory.
 */
export const allocatorEnvironment: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '134217728',
  MALLOC_TRIM_THRESHOLD_: '4294967296',
  MALLOC_TOP_PAD_: '67108864',
};
