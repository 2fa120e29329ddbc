# Lets our interfaces be built against the ROS 2 wheels: handed to CMake as CMAKE_PROJECT_INCLUDE, by tools/bootstrap.py only.
#
# A Python type support exports the folders of Python's and NumPy's headers, which nobody who uses it needs. In the
# wheels they are folders of the machine that built them; in ours they lie in a virtual environment inside the source
# tree. CMake refuses to use the first and to export the second. So both are withdrawn, at the end of configuring, when
# every package has been found and every target of ours declared.
function(keep_include_directories_of_type_supports_private)
  get_property(imported DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS imported)
    if(target MATCHES "__rosidl_generator_py$")
      set_property(TARGET ${target} PROPERTY INTERFACE_INCLUDE_DIRECTORIES "")
    endif()
  endforeach()
  set(ours ${PROJECT_NAME}__rosidl_generator_py)
  if(TARGET ${ours})
    get_property(directories TARGET ${ours} PROPERTY INTERFACE_INCLUDE_DIRECTORIES)
    set_property(TARGET ${ours} PROPERTY INTERFACE_INCLUDE_DIRECTORIES "$<BUILD_INTERFACE:${directories}>")
  endif()
endfunction()
cmake_language(DEFER CALL keep_include_directories_of_type_supports_private)
