// Preloaded into a media worker: the addon of the lean WebRTC is not there.
const { dlopen } = process;
process.dlopen = (module, file, ...flags) => {
  if (String(file).includes('trunkline_rtc')) throw new Error('no such addon');
  return dlopen(module, file, ...flags);
};
